"""What all commands of one invocation share: the click context's `obj`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from wherry.cli.json_events import Recorder
    from wherry.config.redact import Redactor
    from wherry.host.registry import Registry


@dataclass
class App:
    """args: the command line.  debug: show tracebacks.  environment: of wherry.yaml, by name.
    recorders: keep the error that ends the command as an event.
    left: threads may be in calls that do not return, or were interrupted: the process ends without a farewell.

    Everything else is made when first asked for.
    """

    args: Sequence[str] = ()
    debug: bool = False
    environment: str | None = None
    recorders: Sequence[Recorder] = ()
    left: bool = False

    @cached_property
    def registry(self) -> Registry:
        """The installed plugins."""
        from wherry.host.registry import Registry

        return Registry.scan()

    @cached_property
    def redactor(self) -> Redactor:
        """Knows the secrets of the command line and those that variables of the environment name, and learns those of
        each configuration that is built with it."""
        from wherry.config.redact import Redactor, named_secrets

        names = {plugin.name for plugin in self.registry.plugins}
        redactor = Redactor(spoken=names | {scheme for plugin in self.registry.plugins for scheme in plugin.schemes})
        for argument in self.args:
            redactor.add_inside(argument)
        redactor.add(list(named_secrets(os.environ)))
        return redactor


pass_app = click.make_pass_decorator(App, ensure=True)


def _debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(App).debug = True


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, is_eager=True, callback=_debug, help="Show tracebacks, redacted."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
