#!/usr/bin/env python3
"""Runs the four connectors of `sdk/docs/compare-authoring.md`, each twice, against the API of the guides.

`python tests/docs/compare.py` makes an environment with uv for each of the others, writes the blocks of the page into
files, and prints records and requests of both runs. Exit 1 where the rows are not those of the API.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from documents import ROOT, blocks

PAGE = ROOT / "sdk" / "docs" / "compare-authoring.md"
NEEDS = {"dlt": "dlt[duckdb]==1.31.0", "singer": "singer-sdk==0.54.9", "airbyte": "airbyte-cdk==7.39.1"}
WANTED = {"issues": 50, "comments": 51}
CATALOG = {
    "streams": [
        {"stream": {"name": name, "json_schema": {}, "supported_sync_modes": modes}, "sync_mode": modes[-1],
         "destination_sync_mode": "append", "cursor_field": ["updated_at"]}
        for name, modes in (("issues", ["full_refresh", "incremental"]), ("comments", ["full_refresh"]))
    ]
}  # fmt: skip


def environment(folder: Path, name: str) -> Path:
    """The programs of an environment with one of the others."""
    place = folder / f"env-{name}"
    subprocess.run(["uv", "venv", "-q", "-p", "3.11", place], check=True)
    subprocess.run(["uv", "pip", "install", "-q", "--python", place / "bin" / "python", NEEDS[name]], check=True)
    return place / "bin"


def run(folder: Path, *command: Any) -> str:
    """What a program prints; it has to succeed."""
    variables = {"RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(folder / "dlt")}
    variables |= {"WHERRY_STATE_DIR": str(folder / "state")}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, env=os.environ | variables
    )
    if done.returncode:
        raise SystemExit(f"{command[0]}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def in_duckdb(program: Path, folder: Path, file: str) -> dict[str, int]:
    """Rows of both tables."""
    code = (
        "import duckdb, json, sys; c = duckdb.connect(sys.argv[1]); print(json.dumps({t: c.execute("
        "f'select count(distinct id) from acme.{t}').fetchall()[0][0] for t in ('issues', 'comments')}))"
    )
    found: dict[str, int] = json.loads(run(folder, program / "python", "-c", code, file))
    return found


def wherry(programs: Path, folder: Path, again: bool) -> dict[str, int]:
    """Our own, by the manifest."""
    run(folder, programs / "wherry", "sync", "acme.yaml", "wherry.duckdb", "--set", "token=sesame")
    return in_duckdb(programs, folder, "wherry.duckdb")


def dlt(programs: Path, folder: Path, again: bool) -> dict[str, int]:
    """A pipeline with a destination of its own."""
    run(folder, programs / "python", "dlt_acme.py")
    return in_duckdb(programs, folder, "dlt.duckdb")


def singer(programs: Path, folder: Path, again: bool) -> dict[str, int]:
    """A tap: its messages are counted; its last state goes into the second run."""
    state = ["--state", "state.json"] if again else []
    text = run(folder, programs / "python", "tap_acme.py", "--config", "config.json", *state)
    said = list(map(json.loads, text.splitlines()))
    last = [message["value"] for message in said if message["type"] == "STATE"][-1]
    (folder / "state.json").write_text(json.dumps(last))
    return {name: sum(m["type"] == "RECORD" and m["stream"] == name for m in said) for name in WANTED}


def airbyte(programs: Path, folder: Path, again: bool) -> dict[str, int]:
    """A manifest, run by the CDK: its messages are counted."""
    state = ["--state", "airbyte-state.json"] if again else []
    manifest = ["--manifest-path", "airbyte.yaml", "--config", "config.json", "--catalog", "catalog.json"]
    text = run(folder, programs / "source-declarative-manifest", "read", *manifest, *state)
    said = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    states = {m["state"]["stream"]["stream_descriptor"]["name"]: m["state"] for m in said if m["type"] == "STATE"}
    (folder / "airbyte-state.json").write_text(json.dumps(list(states.values())))
    return {name: sum(m["type"] == "RECORD" and m["record"]["stream"] == name for m in said) for name in WANTED}


def served() -> Any:
    """The API, on the port that the page names."""
    spec = importlib.util.spec_from_file_location("server", ROOT / "sdk" / "docs" / "examples" / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    api = module.Acme()
    threading.Thread(target=api.serve_forever, args=(0.02,), daemon=True).start()
    return api


def main() -> int:
    """Run all of them."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="wherry-compare-") as name:
        folder = Path(name)
        for block in blocks(PAGE):
            if block.title:
                (folder / block.title).write_text(block.text)
        (folder / "config.json").write_text('{"token": "sesame"}')
        (folder / "catalog.json").write_text(json.dumps(CATALOG))
        api = served()
        for one in (wherry, dlt, singer, airbyte):
            programs = Path(sys.executable).parent if one is wherry else environment(folder, one.__name__)
            for again in (False, True):
                api.log.clear()
                found = one(programs, folder, again)
                wrong += not again and found != WANTED
                print(f"{one.__name__:8} run {1 + again}: {found}, {len(api.log)} requests", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
