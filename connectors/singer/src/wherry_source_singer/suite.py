"""The conformance suite of the host, with a tap written by hand that keeps a state."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wherry import KIND
from wherry.testing import SourceSuite

from wherry_source_singer.source import SingerSource

TAP = Path(__file__).with_name("example.py")
"""People, incremental by `updated`, and their visits, read whole each time."""


def program(folder: Path, tap: Path = TAP) -> Path:
    """The tap as a program of a folder."""
    path = folder / tap.stem.replace("_", "-")
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{tap}" "$@"\n')
    path.chmod(0o755)
    return path


def people(count: int, more: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Rows of the tap. more: so many of them changed later."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    found = []
    for n in range(count):
        at = begin + timedelta(minutes=n // 3 if n >= more else 10_000 + n)
        person = {"id": n, "name": f"ü {n}", "updated": at.isoformat(), "height": n / 8, "home": {"town": f"t{n % 7}"}}
        found.append(person | {"extra": [None, n, f"t{n}", {"a": [n]}][n % 4]} if n % 5 else person)
    visits = [{"id": n, "day": f"2024-02-{n % 28 + 1:02}", "person": n // 2} for n in range(count)]
    return {"people": found, "visits": visits}


class SingerSuite(SourceSuite):
    """A tap of two streams."""

    connector = SingerSource

    @pytest.fixture
    def config(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """A few hundred rows."""
        monkeypatch.setenv("WHERRY_CACHE_DIR", str(tmp_path / "cache"))
        (tmp_path / "rows.json").write_text(json.dumps(people(200)))
        return {"tap": str(program(tmp_path)), "file": str(tmp_path / "rows.json"), "every": "40"}

    @pytest.fixture
    def broken(self, tmp_path: Path) -> dict[str, Any]:
        """A tap whose file is not there."""
        return {"tap": str(program(tmp_path)), "file": str(tmp_path / "missing.json")}

    def mutate(self, config: dict[str, Any]) -> None:
        Path(config["file"]).write_text(json.dumps(people(230, more=20)))

    def expected(self, config: dict[str, Any], stream: str) -> pa.Table:
        rows = json.loads(Path(config["file"]).read_text())[stream]
        if stream == "visits":
            days = [datetime.fromisoformat(row["day"]).date() for row in rows]
            return pa.table({"id": [r["id"] for r in rows], "day": days, "person": [r["person"] for r in rows]})
        extra = [None if r.get("extra") is None else json.dumps(r["extra"], separators=(",", ":")) for r in rows]
        fields = [
            ("id", pa.int64()), ("name", pa.string()), ("updated", pa.timestamp("us", "UTC")), ("height", pa.float64()),
            ("home", pa.struct([("town", pa.string())])), pa.field("extra", pa.string(), metadata={KIND: b"json"}),
        ]  # fmt: skip
        told = [
            r | {"updated": datetime.fromisoformat(r["updated"]), "extra": e} for r, e in zip(rows, extra, strict=True)
        ]
        return pa.Table.from_pylist(told, schema=pa.schema(fields))
