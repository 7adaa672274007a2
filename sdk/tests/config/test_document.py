"""YAML as data: values with lines, and what a file may not do to us."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from wherry.config.document import parse
from wherry.errors import UsageError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.fixture(params=["with libyaml", "in Python"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML was built without libyaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1", {"a": "1"}),
        ("a: 0123", {"a": "0123"}),
        ("a: 12:30:45", {"a": "12:30:45"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("no: no\non: yes", {"no": "no", "on": "yes"}),
        ("a: true\nb: False\nc: 'true'", {"a": True, "b": False, "c": "true"}),
        ("a:\nb: ~\nc: null\nd: 'null'", {"a": None, "b": None, "c": None, "d": "null"}),
        ("1: {2: [x, {y: z}]}", {"1": {"2": ["x", {"y": "z"}]}}),
        ("a: !!str true", {"a": "true"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: &x [1]\nb: *x", {"a": ["1"], "b": ["1"]}),
        ("a: =", {"a": "="}),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert parse(text, "x.yaml").value == value


def test_lines() -> None:
    document = parse("a:\n  b: 1\n  c:\n  - x\n  - {d:\n      2}\n", "x.yaml")
    paths: dict[tuple[str | int, ...], int] = {
        ("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", 0): 4, ("a", "c", 1, "d"): 5, ("a", "z", 1): 1, ("q",): 1,
    }  # fmt: skip
    assert {path: document.line(path) for path in paths} == paths


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: !!python/object/apply:os.system ['exit 1']", 1, "the tag !!python/object/apply:os.system is not allowed"),
        ('a: 1\nb: ["x\n\n', 2, "end of stream"),
        ("a: 1\nb: !mine x", 2, "the tag !mine is not allowed"),
        ("a: &k\n  b: !!int 5", 2, "the tag !!int is not allowed"),
        ("a: !!binary aGk=", 1, "the tag !!binary is not allowed"),
        ("a: !!set {x, y}", 1, "the tag !!set is not allowed"),
        ("a: {b: 1}\n<<: {c: 2}", 2, "merge keys (<<) are not read"),
        ("x:\n  a: 1\n  b: 2\n  a: 3", 4, "key 'a' stands already on line 2"),
        ("[a, b]: 1", 1, "keys are plain words"),
        ("a: &x {b: *x}", 1, "the alias *x names nothing that stands before it"),
        (BOMB, 1, "more than 50000 values or 50 levels"),
        ("[" * 60 + "]" * 60, 1, "more than 50000 values or 50 levels"),
        ("a: 1\nb: [1, 2", 2, "expected"),
        ("a: 1\n\tb: 2", 2, "found "),
        ("a: b: c", 1, "mapping values are not allowed"),
        ("a: *nobody", 1, "the alias *nobody names nothing"),
        ("a: 1\n---\nb: 2", 2, "expected a single document"),
    ],
)
def test_refused_with_the_line(text: str, line: int, what: str) -> None:
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        parse(text, "x.yaml")
    assert time.monotonic() - start < 5
    assert caught.value.message.startswith("x.yaml, line ")
    assert what in caught.value.message
    if not any(word in what for word in ("levels", "expected", "found ")):  # the libraries point at different lines
        assert caught.value.message.startswith(f"x.yaml, line {line}: ")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 3000, "a: \x00", "- " * 5000])
def test_what_would_break_a_parser_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^x\.yaml, line "):
        parse(text, "x.yaml")


def test_size_is_bound() -> None:
    with pytest.raises(UsageError, match=r"x\.yaml is larger than 1 MiB"):
        parse("#" * (1 << 20) + "\n", "x.yaml")
