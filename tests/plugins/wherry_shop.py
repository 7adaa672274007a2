"""The command line in process, over connectors of a folder of its own."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from wherry.cli.main import run

CONNECTORS = """
import pyarrow as pa
from pydantic import Field, InstanceOf
from wherry.testing import MemoryDestination, MemorySource, MemoryStream, Store
from wherry.testing.memory import MemoryConfig, MemorySourceConfig

AT = pa.array([10, 20, 20], pa.timestamp("us", "UTC"))
ORDERS = pa.table({"id": [1, 2, 3], "note": ["a", None, "line\\nfeed \\x1b[31m"], "at": AT})
COMMENT = {b"description": b"what the customer said"}
ORDERS = ORDERS.cast(ORDERS.schema.set(1, pa.field("note", pa.string(), metadata=COMMENT)))
STREAMS = [
    MemoryStream(name="orders", tables=(ORDERS,), key=("id",), cursor="at", ordered=True,
                 options={"description": "what was bought", "notes": ("at has no index",)}),
    MemoryStream(name="notes", tables=(pa.table({"text": ["x"] * 30}),), namespace="misc"),
]
STORE = Store()
closed = []


class SourceConfig(MemorySourceConfig):
    streams: tuple[InstanceOf[MemoryStream], ...] = Field(default_factory=lambda: tuple(STREAMS))


class Source(MemorySource):
    Config = SourceConfig

    def close(self):
        closed.append(self)


class DestinationConfig(MemoryConfig):
    store: InstanceOf[Store] = Field(default_factory=lambda: STORE)


class Destination(MemoryDestination):
    Config = DestinationConfig
"""


@dataclass(frozen=True)
class Result:
    """What one invocation said. lines: of standard error."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


@dataclass(frozen=True)
class Shop:
    """`wherry` with a memory source and a memory destination. module: theirs, its values can be changed."""

    module: Any
    capture: pytest.CaptureFixture[str]

    @property
    def ends(self) -> tuple[str, str]:
        """SOURCE and DEST."""
        return self.source, self.destination

    @property
    def source(self) -> str:
        return f"{self.module.__name__}:Source"

    @property
    def destination(self) -> str:
        return f"{self.module.__name__}:Destination"

    def run(self, *args: str) -> Result:
        """One invocation."""
        self.capture.readouterr()
        code = run(args)
        out, err = self.capture.readouterr()
        return Result(code, out, err)

    def ok(self, *args: str) -> str:
        """The output of an invocation that succeeds."""
        result = self.run(*args)
        assert result.code == 0, result.err
        return result.out

    def refused(self, args: Sequence[str], code: int = 2) -> str:
        """The message of an invocation that fails as a user's mistake should: at most three lines, nothing printed."""
        result = self.run(*args)
        assert result.code == code, result
        assert len(result.lines) <= 3
        assert "Traceback" not in result.err
        assert not result.out
        return result.err


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shop:
    name = f"shop_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(CONNECTORS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("WHERRY_STATE_DIR", str(tmp_path / "state"))
    for variable in ("COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    return Shop(importlib.import_module(name), capsys)
