"""What must hold after a fault: V1-V9. Each check returns complaints, so that a test can show all of them at once.

V1 every row of the ledger is there as it should be · V2 none twice · V3 the bookmark is never ahead of the rows ·
V4 readers of a replaced table never saw it empty or half · V5 the table is that of an undisturbed run · V6 nothing is
left behind · V7 no secret anywhere · V8 exit code and last line · V9 in time, under the memory limit.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from harness import places
from harness.child import Ended
from harness.ledger import Ledger, stream_of
from harness.places import SCHEMA, Place


def holds(place: Place, ledger: Ledger, mode: str, *until: int) -> list[str]:
    """V1, V2, V5: the table is what the ledger says after runs up to each `until`; of a history, its versions too."""
    stream = stream_of(mode)
    found, expected = Counter(places.rows(place, stream)), ledger.expected(mode, *until)
    wrong = []
    if missing := expected - found.keys():
        wrong.append(f"V1 {len(missing)} of {len(expected)} rows are missing, such as {min(missing)}")
    if strange := found.keys() - expected:
        wrong.append(f"V1 {len(strange)} rows are there that should not be, such as {min(strange)}")
    if twice := {row: count for row, count in found.items() if count > 1}:
        wrong.append(f"V2 {len(twice)} rows are there more than once, such as {min(twice.items())}")
    if mode == "history" and found and not wrong:
        wrong += _versions(place, ledger, stream, *until)
    return wrong


def _versions(place: Place, ledger: Ledger, stream: str, *until: int) -> list[str]:
    current = Counter(places.rows(place, stream, current=True))
    wrong = []
    if current != Counter(ledger.expected("merge", *until)):
        wrong.append("V5 the current rows of the history are not the last version of each id")
    overlaps = place.query(
        f"select count(*) from {SCHEMA}.{stream} a join {SCHEMA}.{stream} b on a.id = b.id and a.version < b.version"
        " where a._wherry_valid_to is null or a._wherry_valid_to > b._wherry_valid_from"
    )
    if overlaps[0][0]:
        wrong.append(f"V5 {overlaps[0][0]} versions overlap")
    return wrong


def not_ahead(place: Place, ledger: Ledger, mode: str) -> list[str]:
    """V3: rows up to each bookmark are there. At rest: after a kill, or in one snapshot of a server."""
    stream = stream_of(mode)
    if mode == "replace":  # its bookmark goes with a rebuild that readers do not see
        return []
    reached = [mark["seq"] for (plan, _), mark in places.bookmarks(place).items() if plan == stream and mark]
    if not reached:
        return []
    found = set(places.rows(place, stream))
    if mode == "append":
        due = {row for row in ledger.expected("append") if row[2] <= max(reached)}
    else:  # in cursor order: of the rows as they are at the end, those up to the bookmark
        due = {row for row in ledger.expected("merge") if row[2] <= max(reached)}
    missing = due - found
    return [f"V3 the bookmark says {max(reached)}, and {len(missing)} rows up to there are missing"] if missing else []


def clean(place: Place, folder: Path | None = None) -> list[str]:
    """V6: no tables, files, sessions left; in `folder`, no files that are not logs."""
    left = [f"V6 left behind: {name}" for name in place.leftovers()]
    if folder is not None:
        left += [f"V6 left behind: {file.name}" for file in folder.rglob("*.tmp*")]
    return left


def forms(secret: str) -> set[bytes]:
    """The secret as it might be spelled: plain, percent-encoded, base64 at each alignment."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), raw.hex().encode()}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        found.add(text[4 if shift else 0 : len(text) - 4])
    return {form for form in found if len(form) >= 8}


def silent(secret: str, ended: Iterable[Ended], folders: Iterable[Path]) -> list[str]:
    """V7: no form of the secret in what was printed, nor in any file of the folders."""
    spelled = forms(secret)
    wrong = []
    for child in ended:
        for name, text in (("stdout", child.stdout), ("stderr", child.stderr)):
            wrong += [f"V7 {name} of {child.args} tells {form!r}" for form in spelled if form in text.encode()]
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                data = file.read_bytes()
                wrong += [f"V7 {file} holds {form!r}" for form in spelled if form in data]
    return wrong


def told(ended: Ended, *codes: int, names: str = "") -> list[str]:
    """V8: one of the exit codes; a failure's last line names the stream (if given) and what to do next."""
    wrong = []
    if ended.code not in codes:
        wrong.append(f"V8 exit {ended.code}, expected {' or '.join(map(str, codes))}: {ended}")
    if "Traceback" in ended.stderr:
        wrong.append(f"V8 a traceback: {ended}")
    if ended.code not in (0, 137) and names:
        wrong += [
            f"V8 the last line does not say {word!r}: {ended.last}"
            for word in (names, "next:")
            if word not in ended.last
        ]
    return wrong


def bounded(ended: Ended, *, seconds: float = 60, memory: int = 2 << 30) -> list[str]:
    """V9: over in time, within bytes of memory."""
    wrong = []
    if ended.seconds > seconds:
        wrong.append(f"V9 took {ended.seconds:.1f} s, more than {seconds}")
    if ended.peak > memory:
        wrong.append(f"V9 took {ended.peak >> 20} MiB, more than {memory >> 20}")
    return wrong
