"""`wherry test`: run the conformance suites that an installed plugin ships, in this process.

A plugin names its suite in the entry-point group `wherry.suites`: name = connector, value = "module:Class", the class
a subclass of `SourceSuite` or `DestinationSuite` that needs nothing but its own fixtures and pytest's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.errors import UsageError
from wherry.near import did_you_mean
from wherry.testing.project import Project

if TYPE_CHECKING:
    import pytest

    from wherry.contracts.source import Source

GROUP = "wherry.suites"
INI = "[pytest]\nfilterwarnings =\n  ignore:Module already imported\n"
"""wherry itself is: it runs pytest here."""
_VALUE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite that an installed distribution ships. value: "module:Class"."""

    name: str
    value: str
    distribution: str
    version: str


@dataclass(kw_only=True)
class Report:
    """What came of it. tests: name -> "passed", "failed", "skipped" or "waived".  waivers: test -> reason."""

    plugin: str
    suites: list[Suite]
    tests: dict[str, str] = field(default_factory=dict)
    waivers: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """Failed test -> what went wrong, in a line."""
    folder: str | None = None
    """Where recorded traffic is."""

    def recordings(self) -> list[Path]:
        """Files of recorded traffic."""
        return sorted(Path(self.folder).glob("*.json")) if self.folder else []

    def count(self, outcome: str) -> int:
        """Tests with that outcome."""
        return sum(found == outcome for found in self.tests.values())

    @property
    def conforms(self) -> bool:
        """Something was tested, and nothing failed."""
        return bool(self.count("passed")) and not self.problems

    def write(self, path: Path) -> None:
        """As JSON."""
        counts = {outcome: self.count(outcome) for outcome in ("passed", "failed", "skipped", "waived")}
        record = asdict(self) | {"counts": counts, "conforms": self.conforms}
        path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def run(plugin: str, report: Path | None = None, arguments: Sequence[str] = ()) -> Report:
    """Run every suite that is shipped under the name; what pytest prints goes to standard error.

    report: where to write the report as JSON.  arguments: more of them for pytest.
    """
    suites = find(plugin)
    return _run(
        Report(plugin=plugin, suites=suites), [_collected(n, s) for n, s in enumerate(suites)], report, arguments
    )


def run_project(project: Project, report: Path | None = None, arguments: Sequence[str] = ()) -> Report:
    """Run the suites that a project ships, from its own source tree: it need not be installed."""
    suites = [
        Suite(name=name, value=value, distribution=project.name, version=project.version)
        for name, value in project.suites.items()
    ]
    _refuse_odd(suites)
    lines = [_collected(number, suite) for number, suite in enumerate(suites)]
    with importing(project.imports):
        result = Report(plugin=project.name, suites=suites, folder=str(project.recordings))
        return _run(result, lines, report, ["--wherry-recordings", str(project.recordings), *arguments])


def run_source(
    name: str, source: type[Source], values: Any, recordings: Path, streams: Sequence[str] = ("*",),
    report: Path | None = None, arguments: Sequence[str] = (),
) -> Report:  # fmt: skip
    """Run the kit on a source of this configuration. recordings: folder of its traffic.  streams: globs."""
    _need_pytest()
    from wherry.testing.local import chosen

    result = Report(plugin=name, suites=[], folder=str(recordings))
    lines = ["from wherry.testing.local import suite\nTestSource = suite()\n"]
    with chosen(source, values, streams):
        return _run(result, lines, report, ["--wherry-recordings", str(recordings), *arguments])


def _run(result: Report, lines: Sequence[str], report: Path | None, arguments: Sequence[str]) -> Report:
    pytest = _need_pytest()
    with tempfile.TemporaryDirectory(prefix="wherry-test-") as folder:
        module = Path(folder, "test_conformance.py")
        module.write_text("".join(lines), encoding="utf-8")
        Path(folder, "pytest.ini").write_text(INI, encoding="utf-8")
        fixed = [
            "-p",
            "no:cacheprovider",
            "-c",
            str(Path(folder, "pytest.ini")),
            "--import-mode=importlib",
            "--tb=short",
        ]
        with contextlib.redirect_stdout(sys.stderr):
            code = pytest.main([str(module), *fixed, *arguments], plugins=[_Recorder(result)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        result.problems.setdefault("pytest", f"ended with {code!s}")
    if report is not None:
        result.write(report)
    return result


def _need_pytest() -> Any:
    try:
        import pytest
    except ImportError:
        raise UsageError("the conformance kit needs pytest", next="pip install 'wherry[testing]'") from None
    return pytest


@contextlib.contextmanager
def importing(folder: Path) -> Iterator[None]:
    """Modules are imported from the folder first, in the suite's child processes too."""
    path, before = str(folder.absolute()), os.environ.get("PYTHONPATH")
    sys.path.insert(0, path)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (path, before)))
    try:
        yield
    finally:
        sys.path.remove(path)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def find(plugin: str) -> list[Suite]:
    """The suites shipped under that name; `UsageError` if there are none."""
    known = [(distribution, point) for distribution in distributions() for point in _points(distribution)]
    found = {
        (point.value, distribution.name): Suite(
            name=point.name, value=point.value, distribution=distribution.name, version=distribution.version
        )
        for distribution, point in known
        if point.name == plugin
    }
    if not found:
        names = sorted({point.name for _, point in known})
        raise UsageError(
            f"no installed plugin ships a conformance suite for {plugin!r}{did_you_mean(plugin, names)}",
            next=f"suites are installed for: {', '.join(names)}" if names else f"a plugin names its own in {GROUP}",
        )
    _refuse_odd(found.values())
    return list(found.values())


def _refuse_odd(suites: Iterable[Suite]) -> None:
    for suite in suites:
        if not _VALUE.fullmatch(suite.value):
            raise UsageError(f'{suite.distribution}: {suite.value!r} in {GROUP} is not of the form "module:Class"')


def ships(plugin: str) -> bool:
    """Whether an installed distribution ships a suite under that name."""
    return any(point.name == plugin for distribution in distributions() for point in _points(distribution))


def _points(distribution: Distribution) -> list[EntryPoint]:
    return [point for point in distribution.entry_points if point.group == GROUP]


def _collected(number: int, suite: Suite) -> str:
    """Lines of a module that pytest collects the suite from."""
    module, _, name = suite.value.partition(":")
    return f"from {module} import {name} as Test{number}_{name}\n"


class _Recorder:
    """A pytest plugin that fills the report."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Once for each phase of each test."""
        name = report.nodeid.partition("::")[2]
        waived = str(getattr(report, "wasxfail", "")).removeprefix("reason: ").removeprefix("wherry waiver: ")
        if report.failed:
            self.report.tests[name] = "failed"
            self.report.problems[name] = _problem(report.longreprtext)
        elif waived and report.skipped:
            self.report.tests[name] = "waived"
            self.report.waivers[name] = waived
        elif report.skipped or report.when == "call":
            self.report.tests.setdefault(name, "skipped" if report.skipped else "passed")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A suite that cannot be imported."""
        if report.failed:
            self.report.problems[report.nodeid or "collection"] = _problem(report.longreprtext)


def _problem(text: str) -> str:
    """The first line that says what went wrong, or else the last one."""
    lines = text.strip().splitlines() or [""]
    said = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (said[0] if said else lines[-1]).removeprefix("AssertionError: ")[:300]
