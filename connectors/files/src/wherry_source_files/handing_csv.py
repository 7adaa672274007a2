"""Which CSV files another reader may take: those on whose rows, fields and types no two readers can differ.

Columns get their kinds from a sample. While that reader reads, all rows are held against the template of these kinds: a
file that goes on otherwise is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wherry import HandOffRefused

from wherry_source_files.client import HashingReader, LocalFile
from wherry_source_files.config import FilesConfig
from wherry_source_files.formats.literals import Facts
from wherry_source_files.formats.scan import Scan, UnlikeError
from wherry_source_files.formats.template import RowTemplate, is_plain, kind_of

_STARTS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\n", b"\r")


def refuse(config: FilesConfig, names: list[str], delimiter: str) -> None:
    """Raise for settings that this connector alone understands, and names that readers may not."""
    if not is_plain(config, names, delimiter) or config.encoding != "utf-8":
        raise HandOffRefused("its settings are not the usual ones, or its header: signs in names, or one column")


def kinds_of(names: list[str], wanted: tuple[str, ...] | list[str], facts: dict[str, Facts]) -> dict[str, str]:
    """The kind of each column that is wanted, for whoever reads the file. Raises `HandOffRefused`."""
    kinds = {name: kind_of(facts[name]) for name in names if name in wanted}
    for name, kind in kinds.items():
        if not kind:
            raise HandOffRefused(f"column {name!r}: its literals need a look each")
    return {name: kind for name, kind in kinds.items() if kind}


def template(names: list[str], kinds: dict[str, str], delimiter: str) -> RowTemplate:
    """That of all rows. Integers have to fit, and floats to print as they were written: that is their reader's part."""
    theirs = {"": "any", "float": "any", "int": "long"}
    found = RowTemplate([theirs.get(kind, kind) for kind in (kinds.get(name, "") for name in names)], delimiter)
    if found.wide:
        raise HandOffRefused("there are very many columns")
    return found


def look(scan: Scan, file: LocalFile, ending: Callable[[], bool]) -> None:
    """Look at all bytes and keep their hash; raises `HandOffRefused`. ending: whether to leave off."""
    with file.open() as handle:
        if handle.read(3).startswith(_STARTS):
            raise HandOffRefused("the file begins with a byte order mark, or an empty line")
        handle.seek(0)
        hashing = HashingReader(handle)
        try:
            for _ in scan.look(hashing):
                if ending():
                    return
        except UnlikeError as error:
            raise HandOffRefused(str(error)) from None
        file.sha256 = hashing.hexdigest()


def about(scan: Scan) -> dict[str, Any]:
    """What the reader that took the file has to find as well."""
    return {"lines": scan.lines, "within": scan.within}
