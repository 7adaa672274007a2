"""Lines that a template holds are what it says: by Python's own parser, whatever stands in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wherry import JsonBlock, LineTemplate, WherryError
from wherry.json_rows import quotes
from wherry.json_rows.bulk import read_lines
from wherry.json_rows.shape import JsonShape

INTEGERS = ["0", "-7", "123", "999999999999999", "8999999999999999", "-8999999999999999"]
FLOATS = ["0.5", "-0.0", "1.10", "1e5", "-2.5E-3", "0", "12", "999999999999999", "123456.789012345", "1.5e99"]
TEXTS = ['"a"', '""', '"é\U0001f600"', r'"\u00e9\ud83d\uDE00\n\""', '"2024-01-01"', '"}"', '"\\\\"']
KINDS = {"int": INTEGERS, "float": FLOATS, "bool": ["true", "false"], "text": TEXTS}
STRAY = [
    "null", "1", "-0", "1.5", "1e400", "9007199254740993", "9223372036854775808", "0.30000000000000004", "NaN", "01",
    '"x"', "true", "[]", "{}", "[null]", '{"a":1}', r'"\u0000"', r'"\ud800"', r'"\x"', '"\t"', "", "1 2", '"a"b"',
]  # fmt: skip
values = st.one_of(*(st.tuples(st.just(kind), st.sampled_from(literals)) for kind, literals in KINDS.items()))


def line(members: list[tuple[str, str]], space: str = "", end: str = "\n") -> bytes:
    return ("{" + f",{space}".join(f'"{key}":{space}{text}' for key, text in members) + "}" + end).encode()


@st.composite
def blocks(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """(lines of one template, lines that mostly are of it)."""
    keys = draw(
        st.lists(st.sampled_from(["a", "b", "é", "a b", "a.b", "(", "id"]), min_size=1, max_size=4, unique=True)
    )
    kinds = {key: draw(st.sampled_from(sorted(KINDS))) for key in keys}
    space = draw(st.sampled_from(["", " "]))
    first = [line([(key, text) for key, kind in kinds.items() if (text := KINDS[kind][n])], space) for n in (0, 1)]
    rest = []
    for _ in range(draw(st.integers(1, 4))):
        stray = draw(st.sampled_from(keys)) if draw(st.booleans()) else None
        pool = {key: st.sampled_from(STRAY if key == stray else [*KINDS[kind], "null"]) for key, kind in kinds.items()}
        members = [(key, draw(pool[key])) for key in keys if key == keys[0] or draw(st.integers(0, 5))]
        order = draw(st.permutations(members)) if draw(st.integers(0, 9)) == 9 else members
        rest.append(line(order, space, draw(st.sampled_from(["\n"] * 9 + ["\r\n", "", "\n\n"]))))
    return b"".join(first), b"".join(rest)


@settings(max_examples=300, deadline=None)
@given(blocks())
@example((b'{"a":1}\n{"a":2}\n', b'{"a":1}{"a":2}\n'))
@example((b'{"a":1,"b":2}\n' * 2, b'{"a":1,"a":2}\n'))
@example((b'{"a":1,"b":2}\n' * 2, b'{"a":1,"b":2,}\n'))
@example((b'{"a":1.5}\n' * 2, b'{"a":123456789012.3456}\n'))
@example((b'{"a":9007199254740993}\n' * 2, b'{"a":1000000000000000000}\n'))
def test_what_it_holds_adds_nothing_and_reads_alike(found: tuple[bytes, bytes]) -> None:
    first, rest = found
    shape = JsonBlock("f", 0, first).shape()
    template = LineTemplate.of(shape, first)
    assert template is not None
    held = template.holds(rest)
    try:
        whole = JsonBlock("f", 0, first).exact_shape()
        whole.merge(JsonBlock("f", 2, rest).exact_shape())
    except WherryError:
        assert not held
        return
    if held:
        assert whole.schema().equals(shape.schema(), check_metadata=True)
        assert not whole.inexact
        names = shape.schema().names
        exact = JsonBlock("f", 0, rest).batch(shape, names, bulk=False)
        for plain in (
            JsonBlock("f", 0, rest).batch(shape, names, bulk=True, plain=True),
            template.rows(JsonBlock("f", 0, rest), shape, names),
        ):
            plain.validate(full=True)
            assert plain.equals(exact)
            assert [str(v) for v in plain.to_pylist()] == [str(v) for v in exact.to_pylist()]  # -0.0 is not 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_it_holds_what_machines_write(kind: str) -> None:
    sample = line([("k", KINDS[kind][0]), ("other", "1")])
    template = LineTemplate.of(JsonBlock("f", 0, sample).shape(), sample)
    assert template is not None
    assert template.kinds == {"k": kind, "other": "int"}
    for text in [*KINDS[kind], "null"]:
        assert template.holds(line([("k", text), ("other", "2")])), text
        assert template.holds(line([("k", text)], end="\r\n") + line([("k", text)], end="")), text


@pytest.mark.parametrize("spaced", [False, True])
def test_it_holds_what_python_writes(spaced: bool) -> None:
    rows = [{"id": n, "price": n / 4, "name": f"né {n} \U0001f600\u2028\x7f", "ok": n % 2 == 0} for n in range(50)]
    separators = None if spaced else (",", ":")
    data = "\n".join(json.dumps(row, separators=separators, ensure_ascii=spaced) for row in rows).encode()
    template = LineTemplate.of(JsonBlock("f", 0, data).shape(), data)
    assert template is not None
    assert template.kinds == {"id": "int", "price": "float", "name": "text", "ok": "bool"}


ODD = {
    0: '{"n":null,"s":null,"x":null,"b":null,"t":null}', 1: '{"n":1,"s":null,"x":1.5,"b":true,"t":"é"}',
    150: '{"n":2,"x":2.5}', 151: '{"n":3,"s":"","x":null,"b":null,"t":""}', 299: '{"n":4,"b":false,"t":null}',
}  # fmt: skip


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize("odd", [(), (0,), (1, 151), (0, 1, 150, 151, 299), range(300)])
def test_lines_are_split_at_their_quotes(
    odd: Sequence[int], space: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with fewer quotes come where they belong, whether they are none, few or all."""
    monkeypatch.setattr(quotes, "PIECE", 512)
    usual = '{"n":%d,"s":"a, b: {%d}","x":%.2f,"b":true,"t":"é\u2028"}'
    lines = [ODD.get(n, ODD[1]) if n in odd else usual % (-n, n, n / 3) for n in range(300)]
    text = end.join([*lines, ""]) if end.strip(" ") else "\n".join(lines)
    data = text.replace(',"', f',{space}"').replace('":', f'":{space}').encode()
    block = JsonBlock("f", 0, data)
    shape = block.exact_shape()
    template = LineTemplate.of(shape, data)
    assert template is not None
    for names in (["n", "s", "x", "b", "t"], ["t", "n"]):
        exact = block.batch(shape, names, bulk=False)
        assert template.rows(block, shape, names).equals(exact)
        found = quotes.split(data, template.kinds, exact.schema, partial(read_lines, schema=exact.schema))
        assert (found is None) == (len(odd) == 300)


def test_a_line_that_is_longer_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotes, "PIECE", 512)
    data = line([("a", "1"), ("b", '"x"')]) * 50 + line([("a", "2"), ("b", f'"{"y" * 2000}"')])
    block = JsonBlock("f", 0, data)
    shape = block.shape()
    template = LineTemplate.of(shape, data)
    assert template is not None
    assert template.rows(block, shape, ["a", "b"]).column("b").to_pylist() == ["x"] * 50 + ["y" * 2000]


@pytest.mark.parametrize(
    "sample",
    ['{"a":[1]}', '{"a":{"b":1}}', "{}", '{"a":1}{"a":1}', '{"a":1,"b":2}\n{"b":2,"a":1}', '{"a":1}\n\n{"a":1}',
     '{"":1}', '{"a":1e400}', '{"a":0.30000000000000004}', '{"a":1}\n{"a":"x"}', '{"a\\"b":1}', '{ "a" : 1 }', "[1]"],
)  # fmt: skip
def test_there_is_none(sample: str) -> None:
    block = JsonBlock("f", 0, sample.encode())
    try:
        shape = block.shape()
    except WherryError:
        shape = JsonShape({"object"})
    assert LineTemplate.of(shape, sample.encode()) is None


def test_very_many_columns_are_not_tried() -> None:
    sample = line([(f"column_{n}", "1") for n in range(129)])
    assert LineTemplate.of(JsonBlock("f", 0, sample).shape(), sample) is None
