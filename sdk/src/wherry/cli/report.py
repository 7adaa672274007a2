"""Errors as a person reads them: at most three lines on standard error, no traceback, and the exit code."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path
from textwrap import indent

import click

from wherry.cli.app import App
from wherry.cli.outlets import harmless
from wherry.errors import ResourceError, Stopped, UsageError, WherryError
from wherry.limits import exhausted
from wherry.near import did_you_mean


def report(error: BaseException, app: App) -> int:
    """Print what went wrong and what to do, redacted; the exit code."""
    if app.debug:
        print_traceback(error, app)
    known = explain(error, app)
    for line in lines(known, app):
        _print(line)
    for recorder in app.recorders:
        recorder.error(known)
    return 128 + known.signal if isinstance(known, Stopped) else known.exit_code


def print_traceback(error: BaseException | None, app: App) -> None:
    """Where an error came from, and what caused it, redacted."""
    if error is not None:
        text = harmless(app.redactor.redact("".join(traceback.format_exception(error)).rstrip()))
        _print(indent(text, "  "))  # so that no line of a message passes for one of ours


def lines(error: WherryError, app: App) -> list[str]:
    """`✗ message`, where the value came from, what to do next: one line each, redacted."""
    from wherry.config.redact import one_line

    found = [("✗ ", error.message), ("  ", error.where), ("  next: ", error.next)]
    return [sign + one_line(" ".join(app.redactor.redact(text).split("\n"))) for sign, text in found if text]


def explain(error: BaseException, app: App) -> WherryError:
    """The error as one of ours: a click error is a mistake of use, a full disk is a resource, the rest is a bug."""
    if isinstance(error, WherryError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error, app)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Stopped()
    if isinstance(error, FileNotFoundError) and not _is_somewhere():
        return ResourceError("the current folder is gone: it was deleted", next="change into one that exists: cd ~")
    return exhausted(error) or _bug(error, app)


def _is_somewhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _usage(error: click.ClickException, app: App) -> UsageError:
    context = getattr(error, "ctx", None)
    typed = [word for word in app.args[:1] if not word.startswith("-")]  # click leaves out the context at times
    command = context.command_path if context else " ".join(["wherry", *typed])
    text = error.message if isinstance(error, click.NoSuchOption) else error.format_message()
    text = " ".join(text.split())  # a choice is told over several lines
    message = text[:1].lower() + text[1:].rstrip(".")
    if isinstance(error, click.NoSuchOption) and context:
        options = [name for param in context.command.params for name in param.opts if name.startswith("--")]
        message = f"no option {error.option_name}{did_you_mean(error.option_name, [*options, '--help'])}"
        if context.info_name == "run" and (setting := _in_the_file(error.option_name)):
            message = f"no option {error.option_name} of {command}"
            return UsageError(message, next=f"write it in wherry.yaml: {setting}")
    if type(error).__name__ == "NoArgsIsHelpError" and context:  # whose message is the whole help
        group = context.command
        names = ", ".join(group.list_commands(context)) if isinstance(group, click.Group) else ""
        message = f"missing command: one of {names}"
    return UsageError(message, next=f"{command} --help")


def _in_the_file(option: str) -> str | None:
    """What wherry.yaml says in place of an option of `wherry sync`; None: it has nothing like it."""
    from wherry.config.content import StreamOptions

    if option in ("--schema", "--exclude"):
        return "schema: NAME  under the pipeline" if option == "--schema" else "GLOB: false  under its streams"
    key = "types" if option == "--type" else option.removeprefix("--").replace("-", "_")
    return f"GLOB: {{{key}: …}}  under the pipeline's streams" if key in StreamOptions.model_fields else None


def _bug(error: BaseException, app: App) -> WherryError:
    """A foreign exception's text may hold data, so only its type and place are shown."""
    from wherry.host.registry import version

    owner, place = f"wherry {version() or ''}".rstrip(), ""
    modules = {p.value.partition(":")[0].partition(".")[0]: p.owner for p in app.registry.plugins}
    for frame, number in traceback.walk_tb(error.__traceback__):
        top = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if top in modules or top == "wherry":
            owner = modules.get(top, owner)
            place = f" in {Path(frame.f_code.co_filename).name}, line {number}"
    return WherryError(
        f"unexpected {type(error).__name__}{place}: this is a bug in {owner}",
        next="run it again with --debug, and report what that prints",
    )


def _print(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads standard error: the exit code still tells
        click.echo(text, file=sys.stderr)
