"""Where a destination keeps pipelines: (schema, pipeline), found in the destination itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli.connect import End, new_destination
from wherry.cli.ends import errors_of
from wherry.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

Place = tuple[str, str]
"""(schema, pipeline)"""


def places(end: End, schema: str | None = None, pipeline: str | None = None) -> list[Place]:
    """What the destination holds, of this schema and pipeline if they are named; UsageError when there is none."""
    with errors_of(end):
        destination = new_destination(end)
        known = list(destination.pipelines())
        meant = {schema, None if schema is None else destination.schema_for(schema)}
        found = [p for p in known if meant & {None, p[0]} and pipeline in (None, p[1])]
        if not found and pipeline is not None and pipeline not in {name for _, name in known}:
            raise UsageError(f"holds no pipeline {pipeline!r}", next=_near(pipeline, [name for _, name in known]))
        if not found and schema is not None:
            raise UsageError(f"holds nothing in schema {schema!r}", next=_near(schema, [name for name, _ in known]))
        return found


def one_place(end: End, schema: str | None, pipeline: str | None) -> Place:
    """The only one that is meant."""
    found = places(end, schema, pipeline)
    if len(found) == 1:
        return found[0]
    with errors_of(end):
        if not found:
            label = new_destination(end).label()
            raise UsageError(f"nothing was ever written to {label}", next="wherry sync SOURCE DEST")
        several = ", ".join(f"{pipeline} (schema {schema})" for schema, pipeline in found[:6])
        raise UsageError(f"holds {len(found)} pipelines: {several}", next="say which: --pipeline NAME --schema NAME")


def naming(end: End, schema: str, pipeline: str) -> list[str]:
    """The options that another command on the destination needs to mean this pipeline and schema; often none."""
    try:
        known = list(new_destination(end).pipelines())
    except Exception:  # only an advice hangs on it: it says more than is needed
        known = []
    if len(known) == 1:
        return []
    same = [place for place in known if place[1] == pipeline]
    return ["--pipeline", pipeline, *(() if len(same) == 1 else ("--schema", schema))]


def _near(word: str, known: Sequence[str]) -> str:
    from wherry.pipeline.select import near

    return near(word, sorted(set(known)))
