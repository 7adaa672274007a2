"""Trying plugins, each in a child process of its own under a time limit: what `wherry plugins --check` reports.

Run as `python -m wherry.host.probe PLUGIN` (its record as JSON), this module is that child.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from wherry.host.metadata import Plugin

SECONDS = 20.0
"""Time a plugin gets to be imported."""
PASSED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LANGUAGE", "VIRTUAL_ENV",
     "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
     "PYDANTIC_DISABLE_PLUGINS"}
)  # fmt: skip
"""Variables that a child gets, beside those that begin with LC_ and PYTHON: none that may hold a secret."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one plugin. reason: why it is not "ok".  described: see `wherry.host.describe`."""

    plugin: Plugin
    status: Literal["ok", "broken", "too slow"]
    reason: str | None = None
    described: dict[str, Any] = field(default_factory=dict)


def probe_all(plugins: Sequence[Plugin], seconds: float = SECONDS) -> list[Report]:
    """A report for each plugin, in order. No child is left when this returns or raises."""
    children: set[subprocess.Popen[bytes]] = set()
    with ThreadPoolExecutor(min(4, len(plugins)) or 1) as pool:
        try:
            return list(pool.map(lambda plugin: _probe(plugin, seconds, children), plugins))
        except BaseException:
            for child in list(children):
                _kill(child)
            pool.shutdown(cancel_futures=True)
            raise


def _probe(plugin: Plugin, seconds: float, children: set[subprocess.Popen[bytes]]) -> Report:
    if plugin.problem:
        return Report(plugin, "broken", plugin.problem)
    if plugin.rivals:
        return Report(plugin, "broken", f"is also owned by {' and '.join(plugin.rivals)}: uninstall all but one")
    command = [sys.executable, "-P", "-m", __spec__.name, json.dumps(dataclasses.asdict(plugin))]
    with subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=passed(os.environ),
        start_new_session=True,
    ) as child:
        children.add(child)
        try:
            # the child's standard input stays open while we live: when it closes, the child ends
            reader = threading.Thread(target=lambda: answers.append(child.stdout.read()), daemon=True)  # type: ignore[union-attr]
            answers: list[bytes] = []
            reader.start()
            reader.join(seconds)
            slow = not answers
        finally:
            _kill(child)
            children.discard(child)
        reader.join()
    if slow:
        return Report(plugin, "too slow", f"its import took longer than {seconds:g} s")
    return _read(plugin, answers[0], child.returncode)


def passed(environment: Mapping[str, str]) -> dict[str, str]:
    """What of our environment a child gets."""
    return {k: v for k, v in environment.items() if k in PASSED or k.startswith(("LC_", "PYTHON"))}


def _read(plugin: Plugin, answer: bytes, status: int) -> Report:
    try:
        found = json.loads(answer)
    except ValueError:
        return Report(plugin, "broken", f"its import ended the process with status {status}")
    if "reason" in found:
        return Report(plugin, "broken", found["reason"])
    return Report(plugin, "ok", None, found)


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _answer(plugin: Plugin) -> dict[str, Any]:
    from wherry.errors import PluginError
    from wherry.host.describe import describe
    from wherry.host.hooks import load_observer
    from wherry.host.load import load

    try:
        if plugin.kind == "hook":
            return {"hooks": sorted(load_observer(plugin).hooks)}
        return describe(load(plugin))
    except PluginError as error:
        return {"reason": error.message.removeprefix(f"{plugin.kind} {plugin.name} ({plugin.owner}) ")}


def _end_with_parent(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os._exit(1)


def main() -> None:
    """The child: answers on what was its standard output, which the plugin cannot reach."""
    lifeline, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    fields: dict[str, Any] = json.loads(sys.argv[1])
    answer = json.dumps(_answer(Plugin(**fields))).encode()
    with open(answers, "wb") as file:
        file.write(answer)
    os._exit(0)  # threads that the plugin started do not keep us


if __name__ == "__main__":
    main()
