"""Where the records of an answer are, and what their key is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wherry.guess.shape import Shape, join
from wherry.guess.words import ENVELOPE, KEYS, RECORDS, WEAK_KEYS, WRAPPERS, first, singular, snake


@dataclass(frozen=True, slots=True)
class Rows:
    """path: of the records. item: one record. keyed: they are the values of a map, whose keys say something.

    why: what tells; "" when there is nothing to doubt.
    """

    path: str
    item: Shape
    keyed: bool = False
    why: str = ""


class NotRowsError(Exception):
    """Why an answer holds no list of records, for people."""


def rows(answer: Shape, name: str) -> Rows:
    """The records of an answer to a question for `name`; `NotRowsError`."""
    if answer.kind == "list":
        return _of_list("", answer)
    if answer.kind == "map" and _is_record(answer.item):
        assert answer.item is not None
        return Rows("*", answer.item, keyed=True, why="the answer is a map of objects")
    if answer.kind != "object":
        raise NotRowsError("its answer is not described" if answer.kind == "any" else f"it answers a {answer.kind}")
    found = list(_lists(answer, ""))
    lists = [one for one in found if _fits(one[0], answer, name)]
    empty = [key for key, field in answer.fields.items() if field.kind == "list" and field.item is None]
    if not lists and any(snake(key) in RECORDS or _means(key, name) for key in empty):
        raise NotRowsError("its list is empty")
    if not lists:
        raise NotRowsError("it answers one object" if not found else "it answers one object that holds lists")
    return _chosen(lists, name)


def _of_list(path: str, shape: Shape) -> Rows:
    if shape.item is None:
        raise NotRowsError("its list is empty")
    if not _is_record(shape.item):
        raise NotRowsError("it answers a list of values that are no objects")
    assert shape.item is not None
    return Rows(path, shape.item)


def _is_record(item: Shape | None) -> bool:
    return item is not None and item.kind in ("object", "any", "map") and (item.kind != "any" or not item.fields)


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    key: str
    inside: tuple[str, ...]


def _lists(shape: Shape, path: str, inside: tuple[str, ...] = ()) -> Iterator[tuple[_Place, Rows]]:
    for key, found in shape.fields.items():
        place = _Place(join(path, key), key, inside)
        if found.kind == "list" and found.item is not None and found.item.kind == "object":
            yield place, Rows(place.path, found.item)
        elif found.kind == "map" and found.item is not None and found.item.kind == "object" and _data(key):
            yield place, Rows(f"{place.path}.*", found.item, keyed=True)
        elif found.kind == "object" and len(inside) < 2 and snake(key) in WRAPPERS:
            yield from _lists(found, place.path, (*inside, key))


def _data(key: str) -> bool:
    return snake(key) in RECORDS or snake(key) not in ENVELOPE


def _fits(place: _Place, answer: Shape, name: str) -> bool:
    """Whether a list is what was asked for, and not a part of one record."""
    around = answer
    for key in place.inside:
        around = around.fields[key]
    beside = {snake(key) for key in around.fields} - {snake(place.key)}
    if first(around.fields, KEYS) and not _means(place.key, name):
        return False
    named = snake(place.key) in RECORDS or _means(place.key, name)
    others = [key for key in beside if key not in ENVELOPE]
    return named or not others


def _means(key: str, name: str) -> bool:
    word, asked = snake(key), snake(name)
    return word == asked or singular(word) == singular(asked) or asked.endswith(f"_{word}")


def _chosen(lists: list[tuple[_Place, Rows]], name: str) -> Rows:
    named = [rows for place, rows in lists if _means(place.key, name)]
    usual = [rows for word in RECORDS for place, rows in lists if snake(place.key) == word]
    if len(lists) == 1:
        _, found = lists[0]
        sure = bool(named or usual)
        return found if sure else Rows(found.path, found.item, found.keyed, "the only list in the answer")
    if not named and not usual:
        raise NotRowsError("its answer holds several lists: " + ", ".join(place.key for place, _ in lists))
    found = (named or usual)[0]
    others = ", ".join(rows.path for _, rows in lists if rows is not found)
    return Rows(found.path, found.item, found.keyed, f"the answer also holds {others}")


def key(item: Shape, name: str) -> tuple[str, str] | None:
    """The field that is probably the key of a record, and why."""
    own = singular(snake(name).rpartition("_")[2])
    candidates = {field: shape for field, shape in item.fields.items() if shape.scalar}
    for words, why in (
        (KEYS, "by its name"),
        ([f"{own}_{word}" for word in ("id", "uuid", "guid", "key", "number")], "by its name"),
        (WEAK_KEYS, "by its name: there is no id"),
    ):
        found = first(candidates, words)
        if found is not None:
            return found, why
    return None
