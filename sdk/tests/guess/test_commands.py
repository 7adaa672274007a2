"""The two commands that guess: what goes to standard output, what to standard error, and what is not written over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from wherry_lists import Lists

SPEC = {
    "openapi": "3.0.0",
    "servers": [{"url": "https://acme.dev"}],
    "paths": {
        f"/{name}": {"get": {"responses": {"200": {"content": {"application/json": {"schema": {
            "type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}}}}}}}}
        for name in ("items", "users")
    },
}  # fmt: skip


def wherry(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = str(Path(sys.executable).with_name("wherry"))
    return subprocess.run([command, *args], cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_manifest_is_written_once(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    arguments = ("new", "manifest", "acme", "--from-openapi", "spec.json", "--stream", "it*")
    done = wherry(tmp_path, *arguments)
    assert done.stdout.splitlines()[0] == "acme.yaml: 1 stream; 0 operations are left out: its end says why"
    first = (tmp_path / "acme.yaml").read_text()
    assert "  items:\n" in first
    assert "users" not in first
    again = wherry(tmp_path, *arguments)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert (tmp_path / "acme.yaml").read_text() == first
    assert wherry(tmp_path, "new", "manifest", "acme2", "--from-openapi", "none.json").returncode == 2


def test_a_manifest_that_is_not_decided_is_guessed_at_without_a_word(tmp_path: Path) -> None:
    with Lists() as server:
        (tmp_path / "acme.yaml").write_text(
            f"name: acme\nbase_url: {server.url}/v1\nstreams: {{next: {{paginate: {{type: auto}}}}, page: {{}}}}\n"
        )
        done = wherry(tmp_path, "preview", "acme.yaml")
    assert "paginate: {type: next_url, path: links.next}" in done.stdout, done.stderr
    assert "page:" not in done.stdout


def test_what_is_printed_is_a_manifest_and_the_rest_is_told_beside_it(tmp_path: Path) -> None:
    with Lists() as server:
        done = wherry(tmp_path, "preview", f"{server.url}/v1/next?token=hush-hush", "--guess")
        assert done.returncode == 0, done.stderr
        assert len(server.log) == sum(line[0].isdigit() for line in done.stderr.splitlines())
        assert "hush" not in done.stdout + done.stderr
        (tmp_path / "acme.yaml").write_text(done.stdout)
        rows = wherry(tmp_path, "preview", "acme.yaml", "--set", "api_key=hush-hush", "--limit", "2", "--json")
    assert [json.loads(line)["id"] for line in rows.stdout.splitlines()] == [100, 101]
