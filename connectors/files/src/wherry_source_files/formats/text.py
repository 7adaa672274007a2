"""Text files as UTF-8 bytes: decompressed, transcoded, without byte order mark, hashed on the way."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from wherry import DataError

from wherry_source_files.client import HashingReader, LocalFile

CHUNK = 1 << 20


class Utf8Reader:
    """A readable of UTF-8 bytes over one of bytes in `encoding`; `tail` is added at the end of a complete text.

    limit: stop after about so many bytes; `cut` says whether something was left out.
    """

    def __init__(self, raw: Any, name: str, encoding: str, limit: int | None = None) -> None:
        self._raw = raw
        self._name = name
        self._limit = limit
        self._offset = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._first = True
        self._encoding = encoding
        self.cut = False
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Some bytes, b"" at the end. Raises `DataError` for a byte that the encoding does not have.

        size: at most so many before they are recoded, where all of a text is read.
        """
        if self._limit is not None and self._offset >= self._limit:
            return b""
        most = size if 0 < size < CHUNK or (size > 0 and self._limit is None) else CHUNK
        while True:
            data = self._raw.read(most)
            text = self._recode(self._start(data) if self._first else data)
            self._offset += len(data)
            if self._limit is not None and self._offset >= self._limit and self._raw.read(1):
                self.cut = True
                return text[: len(text) - _begun(text)]
            if text or not data:
                return text

    def close(self) -> None:
        """Nothing to let go of; Arrow asks for it."""
        self.closed = True

    def _start(self, data: bytes) -> bytes:
        """Choose the encoding by the byte order mark, which is then dropped."""
        self._first = False
        if data.startswith(codecs.BOM_UTF8) and self._encoding in ("utf-8", "utf-8-sig"):
            data = data[len(codecs.BOM_UTF8) :]
        elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and self._encoding == "utf-8":
            self._encoding = "utf-16"
        if self._encoding not in ("utf-8", "utf-8-sig"):
            self._decoder = codecs.getincrementaldecoder(self._encoding)()
        return data

    def _recode(self, data: bytes) -> bytes:
        if self._decoder is None:
            return data
        try:
            return self._decoder.decode(data, final=not data).encode()
        except UnicodeError as error:
            at = self._offset + (error.start if isinstance(error, UnicodeDecodeError) else 0)
            raise DataError(
                f"file {self._name} is not {self._encoding}: byte {at}",
                key="encoding",
                next="give its encoding: --set encoding=latin-1",
            ) from None


def _begun(text: bytes) -> int:
    """How many bytes at the end are the beginning of a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(text[-4:])
    return len(decoder.getstate()[0])


class TextFile:
    """One open text file. `reader` reads UTF-8 bytes."""

    def __init__(self, reader: Utf8Reader, hashing: HashingReader | None) -> None:
        self.reader = reader
        self._hashing = hashing

    def finish(self, file: LocalFile) -> None:
        """All was read: remember its hash."""
        if self._hashing is not None:
            file.sha256 = self._hashing.hexdigest()


@contextmanager
def open_text(file: LocalFile, encoding: str, limit: int | None = None) -> Iterator[TextFile]:
    """The file's text. limit: bytes after decompression, for a look at its head."""
    with file.open() as handle:
        hashing = HashingReader(handle) if file.sha256 is None else None
        raw: Any = hashing or handle
        if file.compression:
            raw = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), file.compression)
        try:
            yield TextFile(Utf8Reader(raw, file.rel, encoding, limit), hashing)
        except OSError as error:
            if file.compression and error.errno is None:
                raise DataError(
                    f"file {file.rel} is not a complete {file.compression} file", next="copy or download it again"
                ) from error
            raise
