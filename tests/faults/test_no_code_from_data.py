"""Row 93: while a real run reads and writes data, nothing is unpickled, unmarshalled, evaluated or compiled.

The lint of `tests/architecture/test_sql_is_composed.py` forbids it in our code; here the interpreter itself tells,
by its audit events, also of what libraries do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Wherry
from harness.ledger import Ledger
from harness.places import Place

WITNESS = """
import json, os, sys

GENERATORS = ("<frozen importlib", "<frozen runpy", "<frozen zipimport", "<frozen site")
# Programs that write classes: from their own templates, while modules are imported, never from what a run reads.
TEMPLATES = ("dataclasses.py", "collections/__init__.py", "enum.py", "typing.py", "types.py", "/attr/", "/pydantic/",
             "/typing_inspection/", "_compat.py")
seen = {"import": 0, "template": 0}

def told(event, arguments):
    if event not in ("pickle.find_class", "marshal.loads", "marshal.load", "exec", "compile", "code.__new__"):
        return
    frame = sys._getframe().f_back
    where = frame.f_code.co_filename if frame else ""
    if frame is None or where.startswith(GENERATORS):  # no frame: the interpreter runs the command itself
        seen["import"] += 1
        if seen["import"] == 100:
            json.dump(seen, open(os.environ["WITNESS"], "w"))
    elif event != "pickle.find_class" and any(part in where for part in TEMPLATES):
        seen["template"] += 1
    else:
        with open(os.environ["WITNESS"] + ".found", "a") as file:
            file.write(f"{event} by {where}, line {frame.f_lineno}\\n")
        if event == "pickle.find_class":
            raise RuntimeError("data became code")

sys.addaudithook(told)
"""


@pytest.fixture
def witness(wherry: Wherry, tmp_path: Path) -> Any:
    """Every child of the command tells what it makes code of; call it for what it told."""
    site = tmp_path / "witness"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITNESS)
    wherry.env["PYTHONPATH"] += f":{site}"
    wherry.env["WITNESS"] = str(tmp_path / "told")

    def found() -> list[str]:
        assert json.loads((tmp_path / "told").read_text())["import"] == 100  # it was there
        path = tmp_path / "told.found"
        return sorted(set(path.read_text().splitlines())) if path.exists() else []

    return found


@pytest.mark.fault(93, tier=1)
def test_no_data_becomes_code(wherry: Wherry, witness: Any, ledger: Ledger, place: Place) -> None:
    (wherry.folder / "wherry.yaml").write_text("sources: {s: {connector: sample, rows: 200}}\n")
    for _ in range(2):
        assert wherry.sync(ledger, place, "merge").code == 0
        assert witness() == []
    for command in (("sync", "s", place.reference, "--schema", "shop"), ("state", "show", place.reference, "--json"),
                    ("sql", place.reference, "select 1 as one"), ("runs",)):  # fmt: skip
        done = wherry(*command)
        assert done.code == 0, done
        assert witness() == []


@pytest.mark.fault(93, tier=1)
def test_the_witness_sees_what_it_should(wherry: Wherry, witness: Any) -> None:
    (wherry.folder / "evil.py").write_text("""
import pickle, wherry

class Evil(wherry.Source):
    class Config(wherry.ConnectorConfig): pass
    def discover(self, only=("*",)):
        eval("1 + 1")
        pickle.loads(b"cos\\nsystem\\n(S'true'\\ntR.")
        return []
    def read(self, split): return iter(())
""")
    done = wherry("discover", "./evil.py")
    assert done.code != 0
    assert [line.partition(" by ")[0] for line in witness()] == ["compile", "exec", "pickle.find_class"]
