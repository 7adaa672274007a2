"""Each plugin is tried in a process of its own, which does not outlive the answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wherry.host.probe import Report, probe_all
from wherry.host.registry import Registry
from wherry_distributions import SOURCE, write_distribution, write_source


def reports(path: Path, seconds: float = 20) -> dict[str, Report]:
    return {r.plugin.name: r for r in probe_all(Registry.scan([str(path)]).plugins, seconds)}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


def test_a_report_says_what_the_plugin_can(path: Path) -> None:
    write_source(path, "acme", "print('noise')\n" + SOURCE)
    hook = "import wherry\n@wherry.hookimpl\ndef run_finished(run): pass"
    write_distribution(path, "hooks", {"wherry.hooks": {"notify": "hook_notify"}}, {"hook_notify": hook})
    found = reports(path)
    assert found["acme"].status == "ok"
    assert list(found["acme"].described["config"]["properties"]) == ["url", "size"]
    assert found["acme"].described["reference"] == "url"
    assert found["acme"].described["capabilities"] == {"filters": False}
    assert found["notify"].described == {"hooks": ["run_finished"]}


def test_broken_plugins_each_get_their_reason(path: Path) -> None:
    write_source(path, "import", "import no_such_module_at_all")
    write_source(path, "exit", "raise SystemExit(4)")
    write_source(path, "hardexit", "import os; os._exit(4)")
    write_source(path, "crash", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    write_source(path, "half", "import wherry\nclass Acme(wherry.Source): pass")
    write_source(path, "stdin", "import sys\nraise ValueError(repr(sys.stdin.read()))")
    found = reports(path)
    assert {name: report.reason for name, report in found.items()} == {
        "import": "could not be loaded: ModuleNotFoundError: No module named 'no_such_module_at_all'",
        "exit": "could not be loaded: SystemExit: 4",
        "hardexit": "its import ended the process with status 4",
        "crash": "its import ended the process with status -11",
        "half": "is unfinished: Acme lacks discover, read",
        "stdin": "could not be loaded: ValueError: ''",
    }
    assert {report.status for report in found.values()} == {"broken"}


def test_secrets_of_the_environment_are_not_handed_to_strangers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_SOURCE_OTHER_PASSWORD", "S3CR3T")
    write_source(path, "nosy", "import os\nraise ValueError(sorted(n for n in os.environ if 'WHERRY' in n))")
    assert reports(path)["nosy"].reason == "could not be loaded: ValueError: []"


def test_an_endless_import_is_cut_off_with_all_it_started(path: Path) -> None:
    text = """
        import os, subprocess, pathlib
        child = subprocess.Popen(["sleep", "60"])
        pathlib.Path(__file__).with_name("pids").write_text(f"{os.getpid()} {child.pid}")
        while True:
            pass
    """
    write_source(path, "endless", text)
    start = time.monotonic()
    found = reports(path, seconds=2)
    assert time.monotonic() - start < 10
    assert (found["endless"].status, found["endless"].reason) == ("too slow", "its import took longer than 2 s")
    for pid in map(int, (path / "pids").read_text().split()):
        assert ended(pid)


def test_the_child_ends_when_its_parent_is_killed(path: Path) -> None:
    text = "import os, pathlib\npathlib.Path(__file__).with_name('pid').write_text(str(os.getpid()))\nwhile True: pass"
    write_source(path, "endless", text)
    script = "import sys; from wherry.host.probe import *; from wherry.host.registry import *\n"
    script += "probe_all(Registry.scan(sys.argv[1:]).plugins)"
    parent = subprocess.Popen([sys.executable, "-c", script, str(path)])
    deadline = time.monotonic() + 20
    while not (path / "pid").exists() or not (path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    assert ended(int((path / "pid").read_text()))


def ended(pid: int) -> bool:
    """Whether the process is gone (or dead and not yet collected) within two seconds; if not, it is ended now."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return False
