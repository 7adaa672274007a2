"""Functions as plugins and as references: an entry point, a file, a module, one function of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import wherry
from wherry import Selection, Source, SourceError, Split, UsageError
from wherry.errors import PluginError
from wherry.host.load import load, load_object
from wherry.host.registry import Registry
from wherry_distributions import write_distribution

STREAMS = '''"""Things of Acme."""
import wherry

@wherry.stream(primary_key="id")
def things(size: int = 2):
    yield [{"id": n} for n in range(size)]

@wherry.stream(parent=things, name="parts-of-things")
def parts(parent, fail: bool = False):
    if fail:
        raise ValueError("John Doe")
    yield {"of": parent["id"]}
'''
LAST = "\nsource = wherry.source_from(__name__)\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def install(path: Path, value: str, text: str) -> type[Source]:
    name = "wherry_source_acme"
    write_distribution(path, "wherry-source-acme", {"wherry.sources": {"acme": value}}, {name: text}, version="1.2")
    next(path.glob("*.dist-info")).joinpath("top_level.txt").write_text(f"{name}\n")
    found: type[Source] = load(Registry.scan([str(path)]).find("source", "acme"))
    return found


def names(cls: type[Source]) -> list[str]:
    return [stream.name for stream in cls(cls.Config()).discover()]


@pytest.mark.parametrize(
    ("value", "text"), [("wherry_source_acme", STREAMS), ("wherry_source_acme:source", STREAMS + LAST)]
)
def test_an_entry_point_names_the_module_or_the_source_made_of_it(path: Path, value: str, text: str) -> None:
    cls = install(path, value, text)
    assert names(cls) == ["things", "parts-of-things"]
    assert cls(cls.Config()).identity() == ("acme", "acme")
    assert (cls.__name__, cls.__doc__) == ("AcmeSource", "Things of Acme.")


def test_a_bug_of_a_plugin_is_told_with_its_distribution_and_without_data(path: Path) -> None:
    cls = install(path, "wherry_source_acme", STREAMS)
    source = cls(cls.Config(fail=True))  # type: ignore[call-arg]
    (stream,) = source.discover(["parts*"])
    with pytest.raises(SourceError) as failed:
        list(source.read(Split(key="x", streams=(Selection(stream=stream),))))
    assert failed.value.message == "ValueError (wherry_source_acme.py, line 11): a bug in wherry-source-acme 1.2"
    assert isinstance(failed.value.__cause__, ValueError)


def test_references(path: Path) -> None:
    (path / "acme.py").write_text(STREAMS)
    (path / "made.py").write_text(STREAMS + LAST)
    (path / "both.py").write_text(STREAMS + LAST + "class Other(wherry.Source): pass\n")
    (path / "neighbour.py").write_text("from acme import things\n")
    everything = ["things", "parts-of-things"]
    for text in ("acme.py", "./acme.py", "made.py", "made.py:source", "made:source"):
        assert names(load_object(text, "source")) == everything  # type: ignore[arg-type]
    for text in ("acme.py:parts", "acme:parts"):
        assert names(load_object(text, "source")) == ["parts-of-things"]  # type: ignore[arg-type]
    assert names(load_object("neighbour.py", "source")) == ["things"]  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"both.py must hold one source class: source, Other"):
        load_object("both.py", "source")
    with pytest.raises(UsageError, match="has no object 'thing': did you mean 'things'") as refused:
        load_object("acme.py:thing", "source")
    assert refused.value.next == "what it has for a source: things, parts"
    with pytest.raises(UsageError, match="must hold one destination class"):
        load_object("acme.py", "destination")


def test_what_does_not_fit_together_is_told_with_its_file(path: Path) -> None:
    (path / "acme.py").write_text(STREAMS + "@wherry.stream(name='things')\ndef other(): yield\n")
    with pytest.raises(PluginError, match="two functions are stream things"):
        load_object("acme.py", "source")
    with pytest.raises(ValueError, match="holds, no function"):
        wherry.source_from("json")
