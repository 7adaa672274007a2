"""The best SQL that one would write by hand for rows that changed; prints the seconds it took, connecting aside.

python merge_by_hand.py FILE.duckdb changes.parquet     delete + insert, from an Arrow table in memory
python merge_by_hand.py URL changes.copy                COPY into a temporary table + INSERT … ON CONFLICT
"""

import sys
import time
from pathlib import Path

from lineitem import COLUMNS, KEY

target, changes = sys.argv[1:]
if target.startswith("postgresql://"):
    import psycopg

    data = Path(changes).read_bytes()
    values = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in KEY)
    with psycopg.connect(target) as db:
        began = time.perf_counter()
        db.execute("create temp table changes (like lineitem) on commit drop")
        with db.cursor() as cursor, cursor.copy("copy changes from stdin (format binary)") as copy:
            copy.write(data)
        sql = f"insert into lineitem select * from changes on conflict ({', '.join(KEY)}) do update set {values}"
        db.execute(sql.encode())
        db.commit()
        print(time.perf_counter() - began)
else:
    import duckdb
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(changes)
    with duckdb.connect(target) as db:
        began = time.perf_counter()
        db.execute("begin")
        same = " and ".join(f"lineitem.{name} = rows.{name}" for name in KEY)
        db.execute(f"delete from lineitem using rows where {same}")
        db.execute(f"insert into lineitem select {', '.join(COLUMNS)} from rows")
        db.execute("commit")
        print(time.perf_counter() - began)
