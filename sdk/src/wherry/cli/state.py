"""`wherry state`: the bookmarks that a destination keeps; whose tables are whose."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from wherry.cli.app import App, debug_option, json_option, pass_app
from wherry.cli.ends import errors_of, holding
from wherry.cli.options import (
    dest_set_option,
    destination_argument,
    environment_option,
    pipeline_option,
    schema_option,
    workspace,
)
from wherry.cli.places import Place, one_place, places
from wherry.cli.table import show as show_table
from wherry.errors import StateError, UsageError

if TYPE_CHECKING:
    from wherry.contracts.destination import Session
    from wherry.contracts.values import Progress

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(short_help="Bookmarks: show, reset, set; adopt a table.")
def state() -> None:
    """Show and change the bookmarks that DEST keeps with the rows, and who owns its tables."""


@state.command()
@destination_argument
@click.argument("stream", required=False)
@pipeline_option
@schema_option
@environment_option
@dest_set_option
@json_option
@debug_option
@pass_app
def show(
    app: App, destination: str, stream: str | None, pipeline: str | None, schema: str | None,
    dest_sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Show the bookmarks of every pipeline in DEST, or of STREAM (a name or glob)."""
    end = workspace(app).destination(destination, dest_sets)
    kept: list[tuple[Place, list[dict[str, Any]]]] = []
    for place in places(end, schema, pipeline):
        with holding(end, place[1], place[0]) as session, errors_of(end):
            kept.append((place, _records(session.progress)))
    if stream is not None:
        kept = _of_stream(kept, stream)
    found = [{"schema": place[0], "pipeline": place[1], "streams": records} for place, records in kept]
    shown = app.redactor.json(found)
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False, sort_keys=True))
    elif not any(place["streams"] for place in shown):
        click.echo("no bookmarks yet")
    else:
        _print(shown)


@state.command()
@destination_argument
@click.argument("streams", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All streams of the pipeline.")
@pipeline_option
@schema_option
@yes_option
@environment_option
@dest_set_option
@debug_option
@pass_app
def reset(
    app: App, destination: str, streams: tuple[str, ...], everything: bool, pipeline: str | None, schema: str | None,
    yes: bool, dest_sets: tuple[str, ...],
) -> None:  # fmt: skip
    """Forget the bookmarks of STREAMS (names or globs): the next run reads them from the start, into the same tables.

    No table is touched. Use sync --full-refresh to rebuild tables.
    """
    if bool(streams) == everything:
        raise UsageError("name the streams to reset, or all of them", next="wherry state reset DEST STREAM…  or  --all")
    end = workspace(app).destination(destination, dest_sets)
    place = one_place(end, schema, pipeline)

    def chosen(session: Session) -> list[dict[str, Any]]:
        records = _records(session.progress)
        return records if everything else _chosen(records, streams)

    with holding(end, place[1], place[0]) as session:
        names = ", ".join(name for record in chosen(session) for name in record["streams"])
    if not names:
        click.echo(f"pipeline {place[1]} has no bookmarks")
        return
    ask(f"forget the bookmarks of {names} in pipeline {place[1]}, schema {place[0]}?", yes)
    with holding(end, place[1], place[0], read_only=False) as session, errors_of(end):
        for record in chosen(session):
            session.set(record["key"], None)
    click.echo(f"✔ bookmarks of {names} forgotten: the next run reads them from the start")


@state.command("set")
@destination_argument
@click.argument("stream")
@click.option("--bookmark", required=True, metavar="JSON", help="What the source should read from, in its own form.")
@pipeline_option
@schema_option
@yes_option
@environment_option
@dest_set_option
@debug_option
@pass_app
def set_(
    app: App, destination: str, stream: str, bookmark: str, pipeline: str | None, schema: str | None, yes: bool,
    dest_sets: tuple[str, ...],
) -> None:  # fmt: skip
    """Give STREAM another bookmark: the form that `state show --json` prints under "bookmark"."""
    value = _json(bookmark)
    end = workspace(app).destination(destination, dest_sets)
    place = one_place(end, schema, pipeline)
    with holding(end, place[1], place[0]) as session:
        _refuse_another_form(_lasting(session, stream)[1]["source"], value)
    ask(f"set the bookmark of {stream} in pipeline {place[1]}, schema {place[0]}?", yes)
    with holding(end, place[1], place[0], read_only=False) as session:
        key, known = _lasting(session, stream)
        _refuse_another_form(known["source"], value)
        kept = {name: part for name, part in known.items() if name != "boundary"}  # it belongs to the old bookmark
        with errors_of(end):
            session.set(key, kept | {"source": value})
    click.echo(f"✔ bookmark of {stream} set")


@state.command()
@destination_argument
@click.argument("table")
@click.option("--pipeline", required=True, metavar="NAME", help="The pipeline that shall own the table.")
@schema_option
@environment_option
@dest_set_option
@debug_option
@pass_app
def adopt(
    app: App, destination: str, table: str, pipeline: str, schema: str | None, dest_sets: tuple[str, ...]
) -> None:
    """Make a pipeline the owner of TABLE (NAME or SCHEMA.NAME), so that its next run may write there."""
    end = workspace(app).destination(destination, dest_sets)
    namespace, _, name = table.rpartition(".")
    if schema is None:
        found = [place for place in places(end) if place[1] == pipeline]
        schema = found[0][0] if len(found) == 1 else namespace
    if not schema:
        raise UsageError(f"in which schema does pipeline {pipeline} keep its state?", next="say it: --schema NAME")
    with holding(end, pipeline, schema, read_only=False) as session, errors_of(end):
        session.adopt(name, namespace or None)
    click.echo(f"✔ table {namespace or schema}.{name} belongs to pipeline {pipeline}")


def _lasting(session: Session, stream: str) -> tuple[str, dict[str, Any]]:
    """(plan key, envelope) of one stream's lasting bookmark."""
    (record,) = _chosen(_records(session.progress), [stream], exactly=True)
    known = session.progress[record["key"]].bookmark
    if "damaged" in record:
        raise StateError(record["damaged"], next=f"wherry state reset DEST {stream}")
    if known is None:
        raise UsageError(
            f"stream {stream} has no bookmark that could be set: its first run is not over",
            next="run the sync to its end, or wherry state reset",
        )
    return record["key"], known


def _records(stored: Mapping[str, Progress]) -> list[dict[str, Any]]:
    """What is kept, one record a plan key, in a form that is the same as long as nothing changes."""
    from wherry.pipeline import envelope as envelopes

    found: list[dict[str, Any]] = []
    for key, progress in sorted(stored.items()):
        if reason := envelopes.readable(progress):
            found.append({
                "key": key, "streams": [key], "bookmark": None, "choice": {}, "unfinished": None,
                "damaged": reason.message,
            })  # fmt: skip
            continue
        lasting = envelopes.open_(progress.bookmark)
        choices = {path: choice for e in envelopes.all_of(progress) for path, choice in e.get("choice", {}).items()}
        opened = None
        if progress.open is not None:
            splits = {s.key: envelopes.open_(s.bookmark).get("source") for s in progress.open.splits}
            opened = {"splits": splits, "done": sorted(progress.done)}
        found.append({
            "key": key, "streams": sorted(choices) or [key], "bookmark": lasting.get("source"),
            "from": lasting.get("from"), "covers": lasting.get("covers"), "choice": choices, "unfinished": opened,
            "missing": sorted(progress.missing),
        })  # fmt: skip
    return found


def _of_stream(
    kept: Sequence[tuple[Place, list[dict[str, Any]]]], stream: str
) -> list[tuple[Place, list[dict[str, Any]]]]:
    meant = [
        (place, [r for r in records if any(fnmatchcase(name, stream) for name in r["streams"])])
        for place, records in kept
    ]
    if not any(records for _, records in meant):
        raise _unknown(stream, [name for _, records in kept for record in records for name in record["streams"]])
    return [(place, records) for place, records in meant if records]


def _chosen(records: Sequence[dict[str, Any]], globs: Sequence[str], exactly: bool = False) -> list[dict[str, Any]]:
    """Records that the globs mean; all streams that share a bookmark have to be meant, unless it is `exactly` one."""
    known = [name for record in records for name in record["streams"]]
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in known):
            raise _unknown(glob, known)
    chosen = []
    for record in records:
        meant = [name for name in record["streams"] if any(fnmatchcase(name, glob) for glob in globs)]
        left = [name for name in record["streams"] if name not in meant]
        if meant and left and not exactly:
            raise UsageError(
                f"stream {meant[0]} shares its bookmark with {', '.join(left)}", next="name them too, or use --all"
            )
        chosen += [record] if meant else []
    if exactly and len(chosen) != 1:
        raise UsageError(f"{globs[0]!r} means {len(chosen)} bookmarks", key="stream", next="name one stream")
    return chosen


def _unknown(stream: str, known: Sequence[str]) -> UsageError:
    from wherry.pipeline.select import near

    return UsageError(f"no bookmark of stream {stream!r} is kept", next=near(stream, known))


def _json(text: str) -> Any:
    from wherry.config.document import parse_json

    try:
        return parse_json(text)
    except ValueError as error:
        remedy = "write it as state show --json prints it, between single quotes"
        raise UsageError(f"--bookmark is not JSON: {error}", next=remedy) from None


def _refuse_another_form(known: Any, value: Any) -> None:
    """A source reads its own bookmarks: one of other keys or kinds of values would mean nothing to it."""
    alike = type(value) is type(known)
    if alike and isinstance(known, dict):
        kinds = {name: type(part) for name, part in known.items() if part is not None}
        alike = value.keys() >= known.keys() and all(isinstance(value[name], kind) for name, kind in kinds.items())
    if not alike:
        raise UsageError("--bookmark is not of the form of the one that is kept", next="wherry state show DEST --json")


def ask(question: str, yes: bool) -> None:
    """Ask, unless it was answered on the command line; raises `click.Abort` for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"not done without being asked: {question}", next="add --yes")
    click.confirm(question, abort=True)


def _print(found: list[dict[str, Any]]) -> None:
    from wherry.cli.values import dumps

    rows = []
    for kept in found:
        for record in kept["streams"]:
            for path in record["streams"]:
                choice = record["choice"].get(path, {})
                opened, damaged = record["unfinished"], record.get("damaged")
                rows.append((
                    kept["schema"], kept["pipeline"], path, choice.get("mode", ""), ", ".join(choice.get("key", ())),
                    choice.get("cursor", ""),
                    damaged or ("" if record["bookmark"] is None else dumps(record["bookmark"])),
                    f"{len(opened['done'])} of {len(opened['splits'])} parts" if opened else "",
                ))  # fmt: skip
    heads = ("schema", "pipeline", "stream", "mode", "key", "cursor", "bookmark", "unfinished")
    show_table(heads, rows)
