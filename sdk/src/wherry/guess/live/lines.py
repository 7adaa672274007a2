"""Proposals as YAML: a whole manifest, or the streams of one to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wherry.guess.live.proposal import Proposal
from wherry.guess.writer import Noted, comment, write


def whole(tree: Mapping[str, Any], proposal: Proposal) -> str:
    """The manifest that an address led to."""
    streams = {proposal.name: Noted(proposal.fields, block=True)}
    return _unknown([proposal]) + write({**tree, "streams": Noted(streams, block=True)})


def pasted(proposals: Sequence[Proposal]) -> str:
    """The lines of streams, whole: they take the place of those that the manifest has."""
    streams = {proposal.name: Noted(proposal.fields, block=True) for proposal in proposals}
    return _unknown(proposals) + write({"streams": Noted(streams, block=True)})


def _unknown(proposals: Sequence[Proposal]) -> str:
    lines = []
    for proposal in proposals:
        for text in proposal.unknown:
            lines += comment(f"Not found out of {proposal.name}: {text}")
    return "".join(f"{line}\n" for line in lines)
