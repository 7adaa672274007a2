"""Whatever a plugin's import does, the host gets a class or an error it can explain."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from wherry import Source
from wherry.errors import PluginError, UsageError, WherryError
from wherry.host.load import load, load_object
from wherry.host.registry import Registry
from wherry_distributions import SOURCE, write_source


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refusal(path: Path, text: str) -> PluginError:
    write_source(path, "acme", text)
    with pytest.raises(PluginError) as caught:
        load(Registry.scan([str(path)]).find("source", "acme"))
    return caught.value


def test_loads_the_class_and_nothing_of_other_plugins(path: Path) -> None:
    write_source(path, "acme")
    write_source(path, "other", "raise RuntimeError")
    cls = load(Registry.scan([str(path)]).find("source", "acme"))
    assert issubclass(cls, Source)
    assert cls(cls.Config.model_validate({"size": "4"})).config.size == 4
    assert "plugin_other" not in sys.modules


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("class Odd(BaseException): pass\nraise Odd('panic')", "Odd: panic"),
        ("1 +", "SyntaxError: invalid syntax (plugin_acme.py, line 1)"),
        ("x = 1", "AttributeError: module 'plugin_acme' has no attribute 'Acme'"),
        ("print('half way')\nraise ValueError('two\\nlines')", "ValueError: two lines; it printed: half way"),
    ],
)
def test_a_broken_import_names_distribution_version_and_cause(path: Path, text: str, cause: str) -> None:
    error = refusal(path, text)
    assert error.message == f"source acme (wherry-source-acme 1.0) could not be loaded: {cause}"
    assert error.exit_code == 10
    assert error.__cause__ is not None
    assert "plugin_acme" not in sys.modules or text == "x = 1"


def test_an_interrupt_is_not_swallowed(path: Path) -> None:
    write_source(path, "acme", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(Registry.scan([str(path)]).find("source", "acme"))


def test_what_is_printed_at_import_stays_off_both_outputs(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = (
        "import os, sys\nprint('one')\nos.write(1, b'two')\nprint('three', file=sys.stderr)\nos.system('echo four')\n"
    )
    write_source(path, "acme", noise + SOURCE)
    assert issubclass(load(Registry.scan([str(path)]).find("source", "acme")), Source)
    os.write(1, b"after\n")
    assert capfd.readouterr() == ("after\n", "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import wherry\nclass Acme(wherry.Source): pass", "is unfinished: Acme lacks discover, read"),
        ("class Acme: pass", "is no subclass of wherry.Source but Acme"),
        ("Acme = 3", "is no subclass of wherry.Source but 3"),
        (
            SOURCE.replace("(wherry.ConnectorConfig)", ""),
            "has a Config that is no subclass of wherry.ConnectorConfig: <class 'plugin_acme.Acme.Config'>",
        ),
        (
            SOURCE.replace('"url"', '"uri"'),
            "has Config.reference = 'uri', which is none of its fields",
        ),
    ],
)
def test_what_is_no_usable_class_is_refused_with_what_is_missing(path: Path, text: str, reason: str) -> None:
    assert refusal(path, text).message == f"source acme (wherry-source-acme 1.0) {reason}"


def test_objects_by_file_and_by_module(path: Path) -> None:
    (path / "shop.py").write_text(SOURCE + "\nclass Second(Acme): pass\n")
    assert load_object("./shop.py:Second", "source").__name__ == "Second"
    assert load_object("shop:Acme", "source").__name__ == "Acme"
    (path / "one.py").write_text("from shop import Acme\nclass Only(Acme): pass\n")
    assert load_object("one.py", "source").__name__ == "Only"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("shop.py:Acne", UsageError, "shop.py has no object 'Acne': did you mean 'Acme'?"),
        ("shop.py", UsageError, "shop.py must hold one source class: Acme, Second"),
        ("gone.py", PluginError, "source gone.py could not be loaded: FileNotFoundError: no such file: "),
        ("broken.py", PluginError, "source broken.py could not be loaded: ZeroDivisionError: division by zero"),
        ("empty.py", UsageError, "empty.py must hold one source class: none is defined there: write  class Mine("),
    ],
)
def test_an_object_that_cannot_be_had(path: Path, text: str, kind: type[WherryError], message: str) -> None:
    (path / "shop.py").write_text(SOURCE + "\nclass Second(Acme): pass\n")
    (path / "broken.py").write_text("1 / 0")
    (path / "empty.py").write_text("")
    with pytest.raises(kind) as caught:
        load_object(text, "source")
    assert caught.value.message.startswith(message)
    assert caught.value.next
    assert "wherry_file_broken" not in sys.modules
