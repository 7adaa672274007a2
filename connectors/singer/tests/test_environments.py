"""Where taps live: programs on PATH, and environments that uv makes once."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from wherry import SourceError, UsageError
from wherry_source_singer import environments
from wherry_source_singer.config import SingerConfig
from wherry_source_singer.environments import tap_of
from wherry_taps import Script

UV = shutil.which("uv") or next((str(p) for p in [Path(__file__).parents[3] / ".uv/bin/uv"] if p.exists()), None)
needs_uv = pytest.mark.skipif(UV is None, reason="uv is not there")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))


def config(**values: Any) -> SingerConfig:
    return SingerConfig.model_validate({"tap": "tap-tiny", **values})


def wheel(folder: Path, scripts: str = "tap-tiny = tap_tiny:main\n") -> Path:
    """A distribution `tiny-tap` without dependencies."""
    path = folder / "tiny_tap-1.2-py3-none-any.whl"
    files = {
        "tap_tiny.py": "import sys\n\n\ndef main():\n    print('tiny', *sys.argv[1:])\n",
        "tiny_tap-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-tap\nVersion: 1.2\n",
        "tiny_tap-1.2.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_tap-1.2.dist-info/entry_points.txt": f"[console_scripts]\n{scripts}",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for name, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("tiny_tap-1.2.dist-info/RECORD", record + "tiny_tap-1.2.dist-info/RECORD,,\n")
    return path


def package(folder: Path, **more: Any) -> str:
    return f"tiny-tap @ {wheel(folder, **more).as_uri()}"


@needs_uv
def test_an_environment_is_made_once_and_used_without_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(UV or '').parent}:{os.environ['PATH']}")
    asked = config(package=package(tmp_path))
    tap = tap_of(asked)
    assert tap.name == "tap-tiny"
    assert subprocess.run([*tap.command, "--about"], capture_output=True, text=True).stdout == "tiny --about\n"
    (made,) = [p for p in environments.cache_folder().iterdir() if not p.name.startswith(".")]
    assert not [p for p in environments.cache_folder().iterdir() if p.name.startswith(".")]
    before = made.stat().st_mtime_ns
    monkeypatch.setenv("PATH", "/nowhere")
    assert tap_of(asked) == tap
    assert made.stat().st_mtime_ns == before


@needs_uv
def test_several_programs_and_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(UV or '').parent}:{os.environ['PATH']}")
    two = package(tmp_path, scripts="tap-a = tap_tiny:main\ntap-b = tap_tiny:main\n")
    with pytest.raises(UsageError, match="several programs: tap-a, tap-b"):
        tap_of(config(tap="tiny", package=two))
    assert tap_of(config(tap="tap-b", package=two)).name == "tap-b"


@needs_uv
def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(UV or '').parent}:{os.environ['PATH']}")
    with pytest.raises(UsageError, match="no package tap-nothing-of-the-kind is to be had") as caught:
        tap_of(config(tap="tap-nothing-of-the-kind"))
    assert "package=" in (caught.value.next or "")
    assert not list(environments.cache_folder().iterdir())


@needs_uv
def test_a_python_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(UV or '').parent}:{os.environ['PATH']}")
    with pytest.raises(SourceError, match="could not make the environment"):
        tap_of(config(package=package(tmp_path), python="/nowhere/python"))


def test_without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(UsageError, match="uv is not there") as caught:
        tap_of(config())
    assert "pip install uv" in (caught.value.next or "")


def test_a_program_on_path_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Script(tmp_path).program
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tap_of(config(tap="tap-script")).command == (str(program),)
    assert tap_of(config(tap=str(program))).name == "tap-script"
    assert tap_of(config(executable=str(program))).command == (str(program),)
    for wrong in ({"executable": "tap-other"}, {"tap": "./tap-other"}):
        with pytest.raises(UsageError, match="no program"):
            tap_of(config(**wrong))


def test_uv_ends_with_a_host_that_is_killed(tmp_path: Path) -> None:
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid.new\nmv {tmp_path}/pid.new {tmp_path}/pid\nexec sleep 60\n")
    uv.chmod(0o755)
    code = (
        "from wherry_source_singer.environments import tap_of\n"
        "from wherry_source_singer.config import SingerConfig\n"
        "tap_of(SingerConfig(tap='tap-none'))"
    )
    env = os.environ | {"PATH": f"{uv.parent}:{os.environ['PATH']}", "WHERRY_CACHE_DIR": str(tmp_path / "cache")}
    with subprocess.Popen([sys.executable, "-c", code], env=env) as host:
        deadline = time.monotonic() + 20
        while not (tmp_path / "pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        pid = int((tmp_path / "pid").read_text())
        assert list((tmp_path / "cache" / "singer").iterdir())
        host.kill()
    deadline = time.monotonic() + 2
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "uv lives on"
        time.sleep(0.01)
    while list((tmp_path / "cache" / "singer").iterdir()):
        assert time.monotonic() < deadline, "what was half made is left"
        time.sleep(0.01)
