"""A source that lets every secret of its configuration out by every door it has, and fails as it is told to."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus

import pyarrow as pa
from pydantic import BaseModel
from wherry import Batch, ConnectorConfig, Mark, Secret, Source, Stream, errors


class Account(BaseModel):
    """Something nested."""

    name: str
    token: Secret


class LeakyConfig(ConnectorConfig):
    """Secrets of every kind. raises: name of an error; at: the method that raises it."""

    reference: ClassVar[str | None] = "url"
    url: Secret | None = None
    password: Secret | None = None
    key: Secret | None = None
    headers: dict[str, str] = {}
    accounts: tuple[Account, ...] = ()
    raises: str = ""
    at: str = "read"
    child: bool = False
    """Start a child that sleeps, so that somebody can look at it."""
    number: int = 1


class LeakySource(Source):
    """One stream of three rows."""

    Config = LeakyConfig
    config: LeakyConfig

    def check(self) -> None:
        self._leak("check")

    def discover(self, only: Any = ("*",)) -> Iterator[Stream]:
        self._leak("discover")
        yield Stream(name="orders", schema=pa.schema([("id", pa.int64())]))

    def plan(self, selected: Any, progress: Any) -> Any:
        self._leak("plan")
        return super().plan(selected, progress)

    def read(self, split: Any) -> Iterator[Batch | Mark]:
        yield Batch(stream="orders", data=pa.table({"id": [1, 2]}))
        self._leak("read")
        yield Batch(stream="orders", data=pa.table({"id": [3]}))
        yield Mark(complete=("orders",))

    def _leak(self, where: str) -> None:
        text = " | ".join(form for secret in self._secrets() for form in forms(secret))
        print(f"{where} printed {text}")
        print(f"{where} complained {text}", file=sys.stderr)
        logging.basicConfig(level=logging.INFO)
        logging.getLogger("leaky").warning("%s logged %s", where, text)
        warnings.warn(f"{where} warned {text}", stacklevel=1)
        thread = threading.Thread(target=_fail, args=(text,))
        thread.start()
        thread.join()
        if self.config.child and where == "read":
            subprocess.run(["sleep", "0.7"], env={"PATH": os.environ["PATH"]}, check=True)
        if self.config.raises and self.config.at == where:
            raise failure(self.config.raises, f"{where} failed with {text}") from ValueError(text)

    def _secrets(self) -> list[str]:
        config = self.config
        texts = [s.get_secret_value() for s in (config.url, config.password, config.key) if s is not None]
        return [*texts, *config.headers.values(), *(account.token.get_secret_value() for account in config.accounts)]


def _fail(text: str) -> None:
    raise RuntimeError(text)


def forms(secret: str) -> list[str]:
    """The ways in which a text turns up."""
    encoded = [base64.b64encode(around + secret.encode() + b"!").decode() for around in (b"", b"x", b"xy")]
    web = base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")
    return [
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret),
        repr(secret),
        web,
        *encoded,
    ]


def failure(name: str, text: str) -> BaseException:
    """An error of that name that says the text wherever it can."""
    kind: Any = (
        getattr(errors, name, None) or {"KeyError": KeyError, "OSError": OSError, "ValueError": ValueError}[name]
    )
    if not issubclass(kind, errors.WherryError):
        found: BaseException = kind(text)
        return found
    made: BaseException = kind(text, key="password", next=f"try {text}", where=f"from {text}")
    return made
