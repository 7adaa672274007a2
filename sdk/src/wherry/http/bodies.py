"""The body of an answer: whole, unpacked, no larger than it may be, and UTF-8 if it is text."""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Iterator, Mapping

from wherry.errors import PolicyError, SourceError

PACKED = "gzip, deflate"
"""What is accepted: no other packing is unpacked."""
_STEP = 256 << 10
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_BINARY = ("application/octet-stream", "application/zip", "application/gzip", "image/", "audio/", "video/")
_PAGES = (b"<!doctype html", b"<html")


def unpacked(chunks: Iterator[bytes], headers: Mapping[str, str], most: int, url: str) -> bytes:
    """The bytes of all chunks, unpacked as `Content-Encoding` says.

    most: bytes that the result may have; stopped as soon as there are more (PolicyError). SourceError, with the offset:
    what came is not packed so. url: for messages, without secrets.
    """
    packed = packing(headers)
    if not packed:
        return _joined(chunks, most, url)
    if packed not in ("gzip", "x-gzip", "deflate"):
        raise SourceError(
            f"{url} answered in Content-Encoding {packed[:40]!r}, which was not asked for",
            next="report it to whoever runs the API",
        )
    return _joined(_inflated(chunks, packed, most, url), most, url)


def packing(headers: Mapping[str, str]) -> str:
    """How an answer says that its body is packed; "": not at all."""
    told = headers.get("content-encoding", "").strip().lower()
    return "" if told == "identity" else told


def utf8(body: bytes, headers: Mapping[str, str], url: str) -> bytes:
    """Text as UTF-8 without a mark in front, whatever it was written in; other bodies as they are.

    The mark decides, then the bytes themselves if they are UTF-8, then the charset that the header names. SourceError:
    it is neither; nothing is put in place of what cannot be read.
    """
    kind = headers.get("content-type", "").lower()
    marked = next((name for mark, name in _BOMS if body.startswith(mark)), None)
    if marked is None and (body.isascii() or kind.startswith(_BINARY)):
        return body
    named = kind.partition("charset=")[2].partition(";")[0].strip(" \"'")
    try:
        if marked is not None:
            return body[3:] if marked == "utf-8-sig" and _valid(body) else body.decode(marked).encode()
        if _valid(body):
            return body
        return body.decode(named or "utf-8").encode()
    except LookupError:
        raise SourceError(f"{url} answered in charset {named[:40]!r}, which is not known", next=_ASK) from None
    except UnicodeDecodeError as error:
        charset = (marked or named or "utf-8").removesuffix("-sig")
        raise SourceError(f"{url} answered with text that is no {charset} at byte {error.start}", next=_ASK) from None


_ASK = "report it to whoever runs the API"


def refuse_pages(body: bytes, status: int, headers: Mapping[str, str], url: str) -> None:
    """SourceError for what is no answer of an API although its status says so: a page for people, nothing at all."""
    start = body[:200].lstrip().lower()
    if start.startswith(_PAGES):
        raise SourceError(
            f"{url} answered {status} with a page of HTML at byte 0, not with data",
            next="see that base_url is that of the API, and that the credentials are right: it may be a login page",
        )
    if not start and not body.strip():
        raise SourceError(
            f"{url} answered {status} with an empty body: it ends at byte {len(body)}",
            next="see that base_url and path are those of the API",
        )


def not_json(body: bytes, url: str) -> SourceError | None:
    """The error for a body that is no JSON, naming the byte from which on it is not; None for one that is."""
    try:
        json.loads(text := body.decode())
    except json.JSONDecodeError as error:
        at = len(text[: error.pos].encode())
        what = f"{url} answered with text that is no JSON at byte {at} of {len(body)}: {error.msg.lower()}"
        return SourceError(what, next=f"run it again; if it stays, {_ASK}")
    except UnicodeDecodeError as error:
        return SourceError(f"{url} answered with text that is no utf-8 at byte {error.start}", next=_ASK)
    except RecursionError:
        return None
    return None


def _valid(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _joined(chunks: Iterator[bytes], most: int, url: str) -> bytes:
    found: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise too_large(most, url)
        found.append(chunk)
    return found[0] if len(found) == 1 else b"".join(found)


def too_large(most: int, url: str) -> PolicyError:
    """An answer that would not fit beside what the run holds."""
    return PolicyError(
        f"{url} answered with more than {most:,} bytes, a quarter of the memory of the run",
        next="ask for smaller pages, or give the run more: --memory SIZE",
    )


def _inflated(chunks: Iterator[bytes], packing: str, most: int, url: str) -> Iterator[bytes]:
    """Unpacked pieces, each small, however much a few bytes become."""
    inflate = None
    offset = 0
    for chunk in chunks:
        while chunk:
            if inflate is None:
                inflate = zlib.decompressobj(_window(packing, chunk))
            before = len(chunk)
            try:
                yield inflate.decompress(chunk, _STEP)
            except zlib.error:
                raise _damaged(packing, offset, url) from None
            chunk = inflate.unconsumed_tail or inflate.unused_data
            offset += before - len(chunk)
            if inflate.eof:
                inflate = None  # another member may follow
        while inflate is not None and not inflate.eof and (more := inflate.decompress(b"", _STEP)):
            yield more
    if inflate is not None:
        raise _damaged(packing, offset, url)


def _window(packing: str, start: bytes) -> int:
    """gzip; or "deflate", which is zlib's form or, from some servers, the bare one."""
    if packing != "deflate":
        return 31
    return 15 if start[0] & 0x0F == 8 and (len(start) < 2 or (start[0] * 256 + start[1]) % 31 == 0) else -15


def _damaged(packing: str, offset: int, url: str) -> SourceError:
    return SourceError(
        f"{url} answered with damaged data: no {packing} at byte {offset} of it, though Content-Encoding says so",
        next="run it again; if it stays, report it to whoever runs the API",
    )
