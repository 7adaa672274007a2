"""Rows 87, 88 and 91: hostile configuration, templates, and SQL in what is no SQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Wherry
from harness.child import Ended
from harness.places import InDuckDB, InPostgres, Place
from test_files import change, little

HEAD = "sources: {s: {connector: sample}}\ndestinations: {d: {connector: duckdb, path: x.duckdb}}\n"
PIPELINE = "pipelines: {p: {source: s, destination: d}}\n"
BOMB = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10) if n else 'x'}]" for n in range(9))
YAML = {
    "python object": HEAD + PIPELINE + 'x: !!python/object/apply:os.system ["touch pwned"]\n',
    "python name": HEAD + PIPELINE + "x: !!python/name:os.system\n",
    "python in a key": HEAD + PIPELINE + '!!python/object/new:os.system ["touch pwned"]: 1\n',
    "a tag of its own": HEAD + PIPELINE + "x: !wherry.cli.main:run [sync]\n",
    "anchors": f"{BOMB}\n" + HEAD + PIPELINE,
    "an anchor in itself": HEAD + PIPELINE + "x: &x [*x]\n",
    "a merge key": HEAD + "pipelines: {p: {<<: {source: s, destination: d}}}\n",
    "a key twice": HEAD + PIPELINE + "pipelines: {p: {source: s, destination: evil}}\n",
    "brackets": "[" * 500_000,
    "braces": "{a: " * 200_000,
    "two documents": HEAD + PIPELINE + "---\n" + HEAD,
    "NUL": HEAD + PIPELINE + 'x: "a\0b"\n',
    "keys of lists": HEAD + PIPELINE + "? [a, b]\n: 1\n",
    "unknown keys": HEAD + PIPELINE + "__class__: {__init__: 1}\n",
}
NO_C = "import sys\nsys.modules['yaml._yaml'] = None\nsys.modules['_yaml'] = None\n"


def run(wherry: Wherry, text: str | None) -> Ended:
    """`wherry run` on such a file; a child that is refused has made nothing and taken little."""
    path = wherry.folder / "wherry.yaml"
    if text is not None:
        path.write_text(text)
    done = wherry("run", "p", "--debug", patience=60)
    assert not (wherry.folder / "pwned").exists()
    assert not (wherry.folder / "x.duckdb").exists()
    assert little(done), done
    return done


@pytest.mark.fault(87)
@pytest.mark.parametrize("attack", ["python object", "anchors"])
def test_hostile_yaml_is_refused(wherry: Wherry, attack: str) -> None:
    done = run(wherry, YAML[attack])
    assert done.code == 2, done
    assert "wherry.yaml, line " in done.stderr


@pytest.mark.fault(87, tier=1)
@pytest.mark.parametrize(
    ("attack", "loader"),
    [(attack, "C") for attack in YAML]
    + [(a, "Python") for a in ("python object", "anchors", "brackets", "a key twice")],
)
def test_hostile_yaml_is_refused_by_either_loader(wherry: Wherry, tmp_path: Path, attack: str, loader: str) -> None:
    if loader == "Python":
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(NO_C)
        wherry.env["PYTHONPATH"] += f":{tmp_path / 'site'}"
    done = run(wherry, YAML[attack])
    assert done.code == 2, done
    assert "wherry.yaml" in done.stderr


@pytest.mark.fault(87)
def test_a_gigabyte_is_not_read(wherry: Wherry) -> None:
    with (wherry.folder / "wherry.yaml").open("wb") as file:
        file.write(HEAD.encode())
        file.truncate(1 << 30)
    done = run(wherry, None)
    assert done.code == 2, done
    assert "larger than 1 MiB" in done.stderr


@pytest.mark.fault(87, tier=1)
@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "[" * 100_000, '{"a": NaN}', '{"__class__": 1', "1e999999"])
def test_hostile_json_is_refused(wherry: Wherry, duckdb_place: InDuckDB, text: str) -> None:
    assert wherry("sync", "sample:200", duckdb_place.reference, "--stream", "orders").code == 0
    done = wherry("state", "set", duckdb_place.reference, "orders", "--yes", "--bookmark", text)
    assert done.code == 2, done
    assert wherry("sync", "sample:200", duckdb_place.reference, "--stream", "orders").code == 0


TEMPLATES = ("{{ ''.__class__.__mro__ }}", "{{ range(10**9) }}", "${${HOME}}", "$(touch pwned)", "`touch pwned`",
             "%(x)s", "{0.__class__}", "$${HOME}", "${HOME:-x}", "${", "$" * 1000)  # fmt: skip
NOTES = """
import pyarrow as pa, wherry

class Notes(wherry.Source):
    class Config(wherry.ConnectorConfig):
        text: str = ""
    def discover(self, only=("*",)):
        yield wherry.Stream(name="notes", schema=pa.schema([("text", pa.string())]))
    def read(self, split):
        yield wherry.Batch(stream="notes", data=[{"text": self.config.text}])
"""


@pytest.mark.fault(88)
def test_templates_are_text_or_refused(wherry: Wherry) -> None:
    """One pass, names only: what is put in is looked through for nothing, and what is no name is not set."""
    (wherry.folder / "notes.py").write_text(NOTES)
    wherry.env["DEEP"] = "${HOME} {{ 7*7 }}"
    texts = [text for text in TEMPLATES if text not in ("${${HOME}}", "${HOME:-x}")] + ["${DEEP}"]
    (wherry.folder / "wherry.yaml").write_text(
        f"sources: {{s: {{connector: ./notes.py, text: {json.dumps(' '.join(texts))}}}}}\n"
    )
    done = wherry("preview", "s", "--json")
    assert done.code == 0, done
    expected = " ".join(texts).replace("${DEEP}", wherry.env["DEEP"]).replace("$${HOME}", "${HOME}")
    assert json.loads(done.stdout)["text"] == expected
    assert not (wherry.folder / "pwned").exists()


@pytest.mark.fault(88, tier=1)
@pytest.mark.parametrize(
    ("text", "code"),
    [("${BIG}" * 5_000, 11), ("${file:/dev/zero}", 11), ("${HOME:-x}", 2), ("${file:" + "x" * 5_000 + "}", 2)],
    ids=["much", "endless", "shell", "long"],
)
def test_what_is_put_in_is_bounded(wherry: Wherry, text: str, code: int) -> None:
    (wherry.folder / "notes.py").write_text(NOTES)
    wherry.env["BIG"] = "x" * 1_000
    (wherry.folder / "wherry.yaml").write_text(f"sources: {{s: {{connector: ./notes.py, text: {json.dumps(text)}}}}}\n")
    done = wherry("preview", "s", patience=30)
    assert done.code == code, done
    assert "next: " in done.last
    assert little(done), done


HOSTILE = ("x' OR 1=1; drop table canary; --", 'x"; drop table canary; --', "x\\'; drop table canary; --", "$$; --",
           "%s {} ? :a $1", "'||(select 1)||'", "zz")  # fmt: skip


@pytest.fixture
def canary(postgres_place: InPostgres, place: Place) -> Any:
    """A source whose text cursor holds SQL, and canaries at both ends."""
    postgres_place.query("create table canary (n int); insert into canary values (1)")
    postgres_place.query("create table t (id int primary key, at text)")
    insert(postgres_place, HOSTILE)

    def alive() -> bool:
        return [postgres_place.query("select * from canary"), place.query("select * from main_canary")] == [[(1,)]] * 2

    if isinstance(place, InDuckDB):
        import duckdb

        duckdb.connect(str(place.path)).close()
    change(place, "create table main_canary (n int)")
    change(place, "insert into main_canary values (1)")
    return alive


def insert(place: InPostgres, texts: Any) -> None:
    with place.session() as session:
        for text in texts:
            session.execute("insert into t select 1 + count(*), %s from t", (text,))


@pytest.mark.fault(91, tier=1)
def test_sql_in_cursor_values_and_bookmarks(
    wherry: Wherry, postgres_place: InPostgres, place: Place, canary: Any
) -> None:
    command = ("sync", postgres_place.reference, place.reference, "--stream", "t", "--schema", "s")
    for texts in (HOSTILE, ("zz' OR ''='", "zz''; drop table t; --"), ()):
        if texts is not HOSTILE:
            insert(postgres_place, texts)
        done = wherry(*command, "--cursor", "at", "--key", "id")
        assert done.code == 0, done
        rows = postgres_place.query('select id, at from t order by at collate "C", id')
        assert sorted(place.query('select id, "at" from s.t')) == sorted(rows)
    shown = wherry("state", "show", place.reference, "t", "--json")
    kept = json.loads(shown.stdout)[0]["streams"][0]["bookmark"]
    for value in HOSTILE:
        hostile = kept | {"value": value}
        assert wherry("state", "set", place.reference, "t", "--yes", "--bookmark", json.dumps(hostile)).code == 0
        assert wherry(*command).code == 0
    hostile = kept | {"type": "int8; drop table canary; --"}
    assert wherry("state", "set", place.reference, "t", "--yes", "--bookmark", json.dumps(hostile)).code == 0
    assert wherry(*command).code == 8
    assert canary()


@pytest.mark.fault(91, tier=1)
def test_sql_in_names_and_filters_of_the_command_line(
    wherry: Wherry, postgres_place: InPostgres, place: Place, canary: Any
) -> None:
    name = """p'; drop table canary; drop table main_canary; --" \\"""
    ends = (postgres_place.reference, place.reference, "--stream", "t")
    assert wherry("sync", *ends, "--pipeline", name, "--schema", name, "--table", name[:30]).code == 0
    assert wherry("state", "show", place.reference, name).code == 2
    assert wherry("state", "reset", place.reference, name, "--pipeline", name, "--schema", name, "--yes").code != 0
    assert wherry("state", "adopt", place.reference, name, "--pipeline", name, "--schema", name).code != 0
    for where in ("true); commit; drop table canary; --", "at = 'zz'; drop table canary", "1=1) or (true"):
        done = wherry("sync", *ends, "--schema", "other", "--pipeline", "other", "--where", where)
        assert done.code == (0 if where.endswith("(true") else 2), done
    for option in ("--cursor", "--key", "--columns", "--start"):
        assert wherry("sync", *ends, "--schema", "third", "--pipeline", "third", option, name).code == 2
    assert canary()
