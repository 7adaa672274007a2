"""Commits in doubt, again and again, with the real command: a row for each half of a finding."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from harness.proxy import Answer, Proxy

ROWS = "select count(*), count(distinct id) from doubt.items"


def in_doubt(command: Callable[..., Any], cluster: Any, times: int, answer: Answer) -> tuple[int, list[str]]:
    """Append a file `times` times, each time with some COMMIT of the run left without its answer.

    command: runs `wherry` and returns (exit code, standard error).  Returns how many commits were left in doubt, and
    what was wrong: a run that did not end with 0, a row that is missing or there twice.
    """
    url = cluster.create_database()
    database = url.rpartition("/")[2]
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder, Proxy(cluster.port) as proxy:
        data = Path(folder) / "doubt"
        data.mkdir()
        (data / "items").mkdir()
        words = ["sync", str(data), proxy.url(url), "--stream", "items", "--mode", "append", "--schema", "doubt"]
        _more(data, 0)
        code, said = command(*words)
        if code:
            return 0, [f"the first run: exit {code}: {said}"]
        commits = proxy.commits
        for number in range(1, times + 1):
            _more(data, number)
            before, nth = proxy.commits, random.randint(1, max(2, commits))
            proxy.commit(nth, answer, seconds=0.1)
            code, said = command(*words)
            proxy.clear()
            commits = proxy.commits - before
            with psycopg.connect(url) as session:
                rows, ids = session.execute(ROWS).fetchone() or (0, 0)
            if code or not rows == ids == 100 * (number + 1):
                wrong.append(
                    f"time {number}, COMMIT {nth}, {answer}: exit {code}, {rows} rows, {ids} ids: {said[-300:]}"
                )
        done = proxy.done.count(f"commit {answer}")
    cluster.psql(f"drop database {database} with (force)")
    return done, wrong


def _more(folder: Path, number: int) -> None:
    """One more file of a hundred rows."""
    rows = "".join(f"{number * 100 + n},item {n} of {number}\n" for n in range(100))
    (folder / "items" / f"{number:06}.csv").write_text("id,note\n" + rows)
