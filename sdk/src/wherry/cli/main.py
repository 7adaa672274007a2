"""The command `wherry`: its commands, and the one boundary where errors become lines and exit codes."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Sequence

import click

from wherry.cli.app import App, debug_option
from wherry.cli.lazy import LazyGroup
from wherry.cli.outlets import install
from wherry.cli.report import report

COMPLETE = "_WHERRY_COMPLETE"
COMMANDS = {
    "sync": ("wherry.cli.sync:sync", "Move data from SOURCE to DEST."),
    "run": ("wherry.cli.run:run", "Run a pipeline of wherry.yaml."),
    "plan": ("wherry.cli.plan:plan", "Say what a sync would do."),
    "check": ("wherry.cli.check:check", "Reach a source, and a destination, and say what was reached."),
    "discover": ("wherry.cli.discover:discover", "The streams that a source offers."),
    "preview": ("wherry.cli.preview:preview", "The first rows of a source."),
    "sql": ("wherry.cli.sql:sql", "Query a destination."),
    "rejects": ("wherry.cli.rejects:rejects", "Rejected rows: list, show, replay, drop."),
    "state": ("wherry.cli.state:state", "Bookmarks: show, reset, set; adopt a table."),
    "runs": ("wherry.cli.runs:runs", "Earlier runs, newest first."),
    "new": ("wherry.cli.new:new", "Begin a connector: source, destination, manifest."),
    "test": ("wherry.cli.test:test", "Does a connector keep the contract?"),
    "plugins": ("wherry.cli.plugins:plugins", "Installed sources, destinations and hooks."),
    "completion": ("wherry.cli.completion:completion", "Print a shell's completion script."),
}
BROKEN_PIPE = 141
"""What a shell says of a program that SIGPIPE ended."""


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="wherry", message="%(prog)s %(version)s")
@debug_option
@click.pass_context
def cli(context: click.Context) -> None:
    """Move data from any source into any destination: rows and bookmark in one transaction."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run(args: Sequence[str], app: App | None = None) -> int:
    """One invocation; the exit code. Every error ends here."""
    app = app or App(args)
    try:
        if COMPLETE in os.environ:
            from click.shell_completion import shell_complete

            return shell_complete(cli, {}, "wherry", COMPLETE, os.environ[COMPLETE])
        with cli.make_context("wherry", list(args), obj=app) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except BrokenPipeError:
        _close_quietly()
        return BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        code = report(error, app)
        try:
            sys.stdout.flush()
        except (OSError, ValueError):  # said already, or of no account beside what was said
            _close_quietly()
        return code
    return 0


def main() -> None:
    """Entry point of the console script: what it writes is for this user alone, and holds no secret."""
    code = [1]
    atexit.register(_leave, code)  # the first to be registered, so the last to be called
    app = App(sys.argv[1:])
    os.umask(0o077)  # databases, their logs and spill files, run logs: whoever wants to share them says so
    _leave_no_core()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would scan all distributions, and load theirs
    install(lambda text: app.redactor.redact(text))
    code[0] = run(sys.argv[1:], app)
    if app.left:  # the interpreter's own end would wait for threads
        _leave(code)
    sys.exit(code[0])


def _leave(code: list[int]) -> None:
    """End, the interpreter left standing: engines that still read ahead in threads crash, or hang, when it goes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code[0])


def _leave_no_core() -> None:
    """A core file would hold every secret; whoever needs one raises the limit again."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # a platform without limits
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _close_quietly() -> None:
    """What is left of our output cannot be written: keep the interpreter from saying so when it flushes at the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
