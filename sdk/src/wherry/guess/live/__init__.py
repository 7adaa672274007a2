"""What an API's own answers tell: a first page, and as few more as prove how to get at the rest.

`asking.py` sends and says each request; `pages.py` tries ways of paging and compares pages; `changes.py` looks for a
parameter that asks for what is new; `proposal.py` puts it together, with what is proven and what is not; `address.py`
begins with nothing but an address, and `lines.py` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wherry.contracts.source import Run
from wherry.errors import AuthError, UsageError
from wherry.guess.live.address import begun, manifest
from wherry.guess.live.lines import pasted, whole
from wherry.guess.live.proposal import propose
from wherry.http.models import Auto, Retry
from wherry.rest.models import Manifest
from wherry.rest.reading import Api
from wherry.rest.requests import new_client

_PATIENCE = Retry(statuses=(429, 503), max_seconds=15)
Tell = Callable[[str], None]


def from_address(url: str, config: Mapping[str, str], run: Run, tell: Tell) -> str:
    """A manifest that reads the list at an address. `tell` hears each request."""
    from pydantic import SecretStr

    tree, given = begun(url, config)
    for value in given.values():
        run.conceal(value)
    secrets = {key: SecretStr(value) if key != "username" else value for key, value in given.items()}
    api = _api(manifest(tree), secrets, run)
    try:
        return whole(tree, propose(api, api.manifest.streams[0], tell))
    except AuthError as error:
        error.next = "give --set token=… or --set username=… --set password=…; for others write a manifest with auth"
        raise
    finally:
        api.client.close()


def from_manifest(found: Manifest, config: Mapping[str, Any], run: Run, tell: Tell, only: Sequence[str] = ()) -> str:
    """Lines for the streams of a manifest that are named, or whose paging is `auto`, or is not said."""
    names = {stream.name for stream in found.streams}
    for name in only:
        if name not in names:
            raise UsageError(f"there is no stream {name}", key="stream", next=f"there are: {', '.join(sorted(names))}")
    begun = [s for s in found.streams if isinstance(s.paginate, Auto)]
    wanted = [s for s in found.streams if s.name in only] or begun or [s for s in found.streams if s.paginate is None]
    if not wanted:
        raise UsageError("paginate is written for each stream", next="name the one to guess at with --stream")
    api = _api(found, config, run)
    try:
        return pasted([propose(api, stream, tell) for stream in wanted])
    finally:
        api.client.close()


def _api(found: Manifest, config: Mapping[str, Any], run: Run) -> Api:
    patient = replace(found, retry=_PATIENCE)
    return Api(manifest=patient, config=config, client=new_client(patient, config, run), run=run, now=lambda: 0)


__all__ = ["from_address", "from_manifest"]
