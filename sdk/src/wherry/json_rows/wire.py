"""Records of many documents in one call of Arrow's parser, with a schema that is known.

Arrow's parser is trusted only as far as it was found right: with an explicit type for all that has a value, nesting
that is surely shallow, text that is UTF-8, no NaN, and numbers whose digits a double keeps. Anything else is said to be
unfit, and read another way. What earlier documents held, beside the records too, is asked for with the order to refuse
everything else: what is read so cannot be nested deeper than those.
"""

from __future__ import annotations

import string
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from wherry.json_rows.blocks import shallow
from wherry.json_rows.bulk import LONG_NUMBER, PIECE, matches, same_numbers, widened
from wherry.json_rows.evolve import is_json, natural
from wherry.json_rows.paths import ALL, Step
from wherry.json_rows.seen import Seen, UnfitError
from wherry.json_rows.shape import JsonShape
from wherry.json_rows.words import no_long_run

ROOT = "r"
HEAD = 64
"""Bytes of a line that are compared with others."""
VANISHING = "[eE]-[0-9]{3}"
WORD = (string.ascii_letters + string.digits + "+-._").encode()


class Documents:
    """JSON documents. data: their text, each of them from a new line on, as Arrow's parser reads it.

    root: each stands in an object under `ROOT`.  newlines: there are also some inside of documents.
    safe: Arrow's parser survives them: given null where an object should be, it does not.
    """

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self.bodies = bodies
        self.number = len(bodies)
        parts = [b'{"r":', *chain.from_iterable((body, b'}\n{"r":') for body in bodies)]
        self.data = b"".join([*parts[:-1], b"}\n"])  # one copy
        self.longest = max(map(len, bodies)) + len(b'{"r":}\n')
        self.root = True
        self.newlines = any(b"\n" in body or b"\r" in body for body in bodies)
        self.safe = True

    def part(self, start: int, end: int) -> Documents:
        """Some of them."""
        return Documents(self.bodies[start:end])


class Lines(Documents):
    """JSON lines, those that are not blank."""

    def __init__(self, block: bytes) -> None:
        self.data = block
        self.longest = 0
        self.root = self.newlines = False
        self.number = block.count(b"\n") + (not block.endswith(b"\n"))
        self.safe = _alike(block, self.number) or block.count(b"\n{") + block.startswith(b"{") == self.number
        if not self.safe:
            self.number = len(self.bodies)
            self.safe = all(line.startswith(b"{") for line in self.bodies)

    @cached_property
    def bodies(self) -> Sequence[bytes]:  # type: ignore[override]
        """The lines apart."""
        return [line for line in map(bytes.strip, self.data.split(b"\n")) if line]

    def part(self, start: int, end: int) -> Documents:
        return Lines(b"\n".join(self.bodies[start:end]))


def _alike(block: bytes, number: int) -> bool:
    """Whether all lines surely are objects, as they begin like the first two: a long text is found faster."""
    first, second = block[:HEAD], block[(at := block.find(b"\n") + 1) : at + HEAD]
    alike = next((n for n, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), len(second))
    head = first[:alike].rstrip(WORD)
    return head.startswith(b"{") and b"\n" not in head and 1 + block.count(b"\n" + head) == number


@dataclass(frozen=True, slots=True)
class Found:
    """records: in natural types, in pieces.  counts: records of each document; None: null, or nothing, is there."""

    records: list[pa.StructArray]
    counts: list[int | None]


class Wire:
    """How to read documents whose records have a known shape. as_list: they are in lists, not an object each."""

    def __init__(self, shape: JsonShape, steps: Sequence[Step], as_list: bool, seen: Seen) -> None:
        self._shape = shape
        self._steps = tuple(steps)
        self._as_list = as_list
        self._seen = seen
        self._record = wire_type(shape)
        self._natural = natural("", shape).type
        self._has_floats = _has_floats(shape)

    def read(self, documents: Documents) -> Found:
        """The records. Raises `UnfitError`."""
        if self._record is None or not documents.safe:
            raise UnfitError
        with ThreadPoolExecutor(1) as beside:  # neither looks at Python's objects: both run at once
            long = beside.submit(_long, documents.data) if self._has_floats else None
            try:
                table = self._known(documents)
                if table is None:
                    table = self._anything(documents, self._record)
                _check_form(table, documents)
                pieces, counts = self._descend(table, documents)
                if long is not None and (long.result() or _vanishing(pieces, documents.data)):
                    self._check_numbers(documents, pieces)
            except (pa.ArrowInvalid, UnicodeDecodeError):
                raise UnfitError from None
        return Found([_arranged(piece, self._natural) for piece in pieces], counts)

    def _known(self, documents: Documents) -> pa.Table | None:
        """All that documents hold, if they hold nothing but what is known."""
        if not self._seen:
            return None
        records = pa.list_(self._natural) if self._as_list else self._natural
        try:
            table = _table(documents, self._seen.schema(self._path(documents.root), records), "error")
        except pa.ArrowInvalid:
            return None
        self._seen.again()
        return table

    def _anything(self, documents: Documents, record: pa.DataType) -> pa.Table:
        """All that documents hold, whatever it is."""
        if not shallow(documents.data):
            raise UnfitError
        table = _table(documents, self._schema(record, documents.root))
        self._seen.other(table)
        return table

    def _schema(self, record: pa.DataType, root: bool) -> pa.Schema:
        type = pa.list_(record) if self._as_list else record
        for step in reversed(self._path(root)[1:]):
            type = pa.list_(type) if step is ALL else pa.struct([(step, type)])
        return pa.schema([(self._path(root)[0], type)])

    def _path(self, root: bool) -> tuple[Step, ...]:
        if not root and (not self._steps or self._steps[0] is ALL):
            raise UnfitError
        return (ROOT, *self._steps) if root else self._steps

    def _descend(self, table: pa.Table, documents: Documents) -> tuple[list[pa.StructArray], list[int | None]]:
        first, *steps = self._path(documents.root)
        pieces: list[pa.StructArray] = []
        counts: list[int | None] = []
        for chunk in table.column(first).chunks:
            piece, found = _records(chunk, steps, self._as_list)
            if not _same_type(piece.type, self._shape):
                raise UnfitError
            piece.validate(full=True)
            if not _finite(piece):
                raise UnfitError
            pieces.append(piece)
            counts.extend(found)
        return pieces, counts

    def _check_numbers(self, documents: Documents, pieces: list[pa.StructArray]) -> None:
        """Read again, in a type that keeps every digit: doubles must be what they print."""
        if self._record is None:
            return
        wide = _table(documents, self._schema(widened(self._record), documents.root))
        first, *steps = self._path(documents.root)
        for piece, chunk in zip(pieces, wide.column(first).chunks, strict=True):
            again, _ = _records(chunk, steps, self._as_list)
            if not same_numbers(piece, again):
                raise UnfitError


def wire_type(shape: JsonShape) -> pa.DataType | None:
    """The type to ask Arrow's parser for; None: no value is known, so none is asked for. Raises `UnfitError`."""
    if not shape.kinds:
        return None
    if shape.as_text():
        raise UnfitError
    if "object" in shape.kinds:
        inside = [(name, wire_type(inner)) for name, inner in shape.fields.items()]
        known = [(name, type) for name, type in inside if type is not None]
        return pa.struct(known) if known else None
    if "array" in shape.kinds:
        inner = wire_type(shape.item or JsonShape())
        return None if inner is None else pa.list_(inner)
    type = shape.arrow("").type
    if pa.types.is_decimal(type):  # the parser would take texts for numbers
        raise UnfitError
    return type


def converts(shape: JsonShape, field: pa.Field) -> bool:
    """Whether natural values of that shape become `field` without a look at their text."""
    if not shape.kinds:
        return True
    if is_json(field) or shape.as_text():
        return False
    if pa.types.is_struct(field.type) and shape.kinds == {"object"}:
        known = {inner.name: inner for inner in field.type}
        return all(name in known and converts(inner, known[name]) for name, inner in shape.fields.items())
    if pa.types.is_list(field.type) and shape.kinds == {"array"}:
        return converts(shape.item or JsonShape(), field.type.value_field)
    if shape.kinds & {"object", "array"} or pa.types.is_nested(field.type):
        return False
    return not (pa.types.is_string(field.type) and shape.arrow("").type == pa.float64())


def _table(documents: Documents, schema: pa.Schema, unexpected: str = "infer") -> pa.Table:
    """By two threads, unless a document is longer than half of them, or there are line ends inside."""
    whole = len(documents.data) + 64
    half = max(PIECE, whole // 2 + documents.longest)
    if documents.newlines:
        return _parsed(documents, schema, whole, unexpected)
    try:
        return _parsed(documents, schema, half, unexpected)
    except pa.ArrowInvalid as error:
        if "straddl" not in str(error):
            raise
        return _parsed(documents, schema, whole, unexpected)


def _parsed(documents: Documents, schema: pa.Schema, size: int, unexpected: str) -> pa.Table:
    return pj.read_json(
        pa.BufferReader(documents.data),
        read_options=pj.ReadOptions(block_size=size),
        parse_options=pj.ParseOptions(
            explicit_schema=schema, newlines_in_values=documents.newlines, unexpected_field_behavior=unexpected
        ),
    )


def _check_form(table: pa.Table, documents: Documents) -> None:
    """Each document one row; nothing but the document under the root: a body may hold more than its own braces."""
    if table.num_rows != documents.number or (documents.root and table.column_names != [ROOT]):
        raise UnfitError


def _records(array: pa.Array, steps: Sequence[Step], as_list: bool) -> tuple[pa.StructArray, list[int | None]]:
    """The records in the documents' values, and how many each document has."""
    ends: list[int] | None = None
    absent: pa.Array | None = None
    for step in (*steps, *([ALL] if as_list else [])):
        if step is not ALL:
            array = pc.struct_field(array, step)
            continue
        if not pa.types.is_list(array.type):
            raise UnfitError
        absent = array.is_null() if absent is None else absent
        ends = _ends(array, ends)
        array = array.flatten()
    if not pa.types.is_struct(array.type) or (as_list and array.null_count):
        raise UnfitError
    if not as_list:
        if ends is None and not array.null_count:
            return array, [1] * len(array)
        absent = array.is_null() if absent is None else absent
        ends = _valid(array, ends)
        array = array.drop_null() if array.null_count else array
    counts: list[int | None] = [end - start for start, end in zip([0, *(ends or ())], ends or (), strict=False)]
    if absent is not None and absent.true_count:
        counts = [None if none else n for none, n in zip(absent.to_pylist(), counts, strict=True)]
    return array, counts


def _ends(lists: pa.ListArray, ends: list[int] | None) -> list[int]:
    """Where each document's values end once the lists are flattened. ends: where its lists do; None: one each."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return _taken(pc.cumulative_sum(lengths.cast(pa.int64())), ends)


def _valid(objects: pa.Array, ends: list[int] | None) -> list[int]:
    """The same for objects of which the null ones are dropped."""
    if not objects.null_count:
        return list(range(1, len(objects) + 1)) if ends is None else ends
    return _taken(pc.cumulative_sum(objects.is_valid().cast(pa.int64())), ends)


def _taken(sums: pa.Array, ends: list[int] | None) -> list[int]:
    return sums.to_pylist() if ends is None else [sums[end - 1].as_py() if end else 0 for end in ends]


def _same_type(type: pa.DataType, shape: JsonShape) -> bool:
    """Whether what was parsed is all known: nothing else than the shape has but nulls."""
    if pa.types.is_null(type):
        return True
    if not shape.kinds:
        return False
    if pa.types.is_struct(type):
        fields = shape.fields if "object" in shape.kinds else {}
        return bool(fields) and all(_same_type(f.type, fields.get(f.name, JsonShape())) for f in type)
    if pa.types.is_list(type):
        return "array" in shape.kinds and _same_type(type.value_type, shape.item or JsonShape())
    return not shape.kinds & {"object", "array"} and bool(type == shape.arrow("").type)


def _arranged(array: pa.Array, to: pa.DataType) -> pa.Array:
    """The array with the members that `to` has: others hold nothing but nulls."""
    if array.type.equals(to):
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), to)
    if pa.types.is_struct(to):
        have = {field.name: i for i, field in enumerate(array.type)}
        inner = [
            _arranged(array.field(have[f.name]), f.type) if f.name in have else pa.nulls(len(array), f.type) for f in to
        ]
        return pa.StructArray.from_arrays(inner, fields=list(to), mask=array.is_null() if array.null_count else None)
    if pa.types.is_list(to):
        whole = pa.concat_arrays([array, array.slice(0, 0)]) if array.offset else array
        mask = whole.is_null() if whole.null_count else None
        return pa.ListArray.from_arrays(whole.offsets, _arranged(whole.values, to.value_type), type=to, mask=mask)
    return array


def _finite(array: pa.Array) -> bool:
    if pa.types.is_struct(array.type):
        return all(map(_finite, array.flatten()))
    if pa.types.is_list(array.type):
        return _finite(array.flatten())
    if pa.types.is_floating(array.type):
        return bool(pc.all(pc.is_finite(array), min_count=0).as_py())
    return True


def _long(data: bytes) -> bool:
    """Whether there may be numbers of more digits than a double keeps."""
    return not no_long_run(data) and matches(data, LONG_NUMBER)


def _vanishing(pieces: Sequence[pa.Array], data: bytes) -> bool:
    """Whether there may be numbers so close to 0 that a double keeps fewer digits of them, or none.

    Others with few digits are what their double prints, however large: those that are too large are none at all.
    """
    if not any(map(_next_to_nothing, pieces)):
        return False
    return matches(data, VANISHING) and matches(data, LONG_NUMBER)  # the first is found faster


def _next_to_nothing(array: pa.Array) -> bool:
    if pa.types.is_struct(array.type):
        return any(map(_next_to_nothing, array.flatten()))
    if pa.types.is_list(array.type):
        return _next_to_nothing(array.flatten())
    if pa.types.is_floating(array.type):
        return bool(pc.any(pc.less(pc.abs(array), sys.float_info.min)).as_py())
    return False


def _has_floats(shape: JsonShape) -> bool:
    number = shape.number is not None and not shape.as_text() and shape.arrow("").type == pa.float64()
    return number or any(_has_floats(inner) for inner in shape.below())
