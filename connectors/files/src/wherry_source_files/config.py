"""What a user can set for files; every key has a default that suits most files."""

from __future__ import annotations

import codecs
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from wherry import ConnectorConfig

FormatName = Literal["csv", "tsv", "jsonl", "json", "parquet", "arrow"]


class FilesConfig(ConnectorConfig):
    """Local files: one file, a glob, or a folder."""

    reference: ClassVar[str | None] = "path"

    path: str = Field(description="A file, a glob such as 'data/*.csv', or a folder", min_length=1)
    format: FormatName | None = Field(default=None, description="Format of the files; from their suffix if not given")
    delimiter: str | None = Field(
        default=None,
        description="Separator of CSV fields, a character or 'tab'; found in the header if not given",
    )
    quote: str = Field(default='"', description="Quote character of CSV fields; 'none' if fields are never quoted")
    escape: str | None = Field(default=None, description="Escape character of CSV fields, if quotes are not doubled")
    encoding: str = Field(default="utf-8", description="Encoding of text files; UTF-16 with a byte order mark is found")
    header: bool = Field(default=True, description="The first CSV row has the names; else column_1, column_2, ...")
    null: tuple[str, ...] | None = Field(
        default=None,
        description="Unquoted CSV literals that are NULL in every column, comma separated; if not given, "
        r"NA, NULL and \N in columns that are not text. An empty unquoted field is always NULL",
    )

    def reading(self) -> dict[str, Any]:
        """What decides which rows the bytes of a file are, as far as it is set."""
        names = {"format", "delimiter", "quote", "escape", "encoding", "header", "null"}
        return self.model_dump(mode="json", include=names, exclude_defaults=True)

    @field_validator("null", mode="before")
    @classmethod
    def _from_comma_text(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}.get(value or "", value)
        if value is not None and (len(value) != 1 or not value.isascii() or value in '\r\n"'):
            raise ValueError("give one ASCII character, or tab, comma, semicolon, pipe")
        return value

    @field_validator("quote", "escape")
    @classmethod
    def _one_ascii_character(cls, value: str | None) -> str | None:
        if value is not None and value != "none" and (len(value) != 1 or not value.isascii() or value in "\r\n"):
            raise ValueError("give one ASCII character")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError("no such encoding; utf-8, latin-1, cp1252 and utf-16 are common ones") from None
