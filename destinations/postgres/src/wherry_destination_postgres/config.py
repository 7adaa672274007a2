"""Configuration of the PostgreSQL destination: a URL or single keys; what is missing comes from libpq's own sources."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from typing import ClassVar, Literal
from urllib.parse import unquote

from pydantic import Field, field_validator
from wherry import ConnectorConfig, Secret

_VARIABLES = {
    "host": ("host", "PGHOST"), "port": ("port", "PGPORT"), "user": ("user", "PGUSER"),
    "database": ("dbname", "PGDATABASE"), "password": ("password", "PGPASSWORD"), "sslmode": ("sslmode", "PGSSLMODE"),
}  # fmt: skip
_OPEN = ("disable", "allow", "prefer")
_HOST = r"(\[[^\]]*\]|[^:]*)"


class PostgresConfig(ConnectorConfig):
    """How to reach the server. Single keys override the URL; libpq's environment and password file fill the rest."""

    reference: ClassVar[str | None] = "url"

    url: Secret | None = Field(None, description="postgresql://user@host:port/database, with or without the password")
    host: str | None = Field(None, description="host name, address or socket folder (libpq: PGHOST)")
    port: int | None = Field(None, ge=1, le=65535, description="port (libpq: PGPORT; 5432)")
    user: str | None = Field(None, description="role to connect as (libpq: PGUSER)")
    database: str | None = Field(None, description="database (libpq: PGDATABASE)")
    password: Secret | None = Field(None, description="password; better in the environment or in ~/.pgpass")
    passfile: str | None = Field(None, description="password file in libpq's format (libpq: PGPASSFILE)")
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        None, description="how far TLS goes (libpq: PGSSLMODE; prefer on this machine, require to any other)"
    )
    sslrootcert: str | None = Field(None, description="file of trusted certificates, or system")
    sslcert: str | None = Field(None, description="file of the client's certificate")
    sslkey: str | None = Field(None, description="file of the client's key")
    lease: int = Field(60, ge=2, description="seconds without a sign of life after which another run may take over")
    lock_timeout: float = Field(30, gt=0, description="seconds to wait for a lock that another session holds")
    statement_timeout: float = Field(
        0, ge=0, description="seconds after which the server ends a statement (a COPY excepted); 0: never"
    )
    connect_timeout: int = Field(10, ge=1, description="seconds to wait for a connection")

    @field_validator("url")
    @classmethod
    def _is_uri(cls, url: Secret | None) -> Secret | None:
        text = url.get_secret_value() if url else "postgresql://"
        if not text.startswith(("postgresql://", "postgres://")):
            raise ValueError("not a URI of the form postgresql://user@host:port/database")
        host, _, database = _place(text)
        if "@" in host + database or not re.fullmatch(f"{_HOST}(:[0-9]*,{_HOST})*", host):
            raise ValueError("user and password need their @, / and : percent-encoded (%40, %2F, %3A)")
        return url

    def options(self) -> dict[str, str]:
        """Connection parameters that differ from libpq's defaults, by libpq's names; the password among them."""
        given = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "dbname": self.database,
            "password": self.password.get_secret_value() if self.password else None,
            "passfile": self.passfile,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "sslcert": self.sslcert,
            "sslkey": self.sslkey,
        }
        return {key: str(value) for key, value in given.items() if value is not None}

    def tls(self) -> str | None:
        """The sslmode to ask for where nobody said one and the server is elsewhere; None leaves it to libpq.

        `require`, or `verify-full` when a file of trusted certificates is named: naming one means to check by it.
        """
        asked, files = self._said("sslmode", "PGSSLMODE"), self._said("sslrootcert", "PGSSLROOTCERT")
        if asked or not self.elsewhere() or self._said("service", "PGSERVICE"):
            return None
        return "verify-full" if files else "require"

    def plain(self, encrypted: bool) -> bool:
        """Whether a connection came about without TLS though nobody asked for that: by a service file, say."""
        return not encrypted and self.elsewhere() and not self._said("sslmode", "PGSSLMODE")

    def elsewhere(self) -> bool:
        """Whether the server is on another machine, as far as its name tells: no socket, not localhost."""
        hosts = self._said("hostaddr", "PGHOSTADDR") or self._said("host", "PGHOST")
        return not all(map(_is_here, hosts.split(",")))

    def warnings(self) -> Sequence[str]:
        """An encryption that was switched off."""
        from psycopg import ProgrammingError

        try:
            mode = self._said("sslmode", "PGSSLMODE")
            open = mode in _OPEN and self.elsewhere()
        except ProgrammingError:  # connecting says what is wrong with the URL
            return ()
        return [f"{self.reference_text()}: sslmode={mode} lets rows and password go unencrypted"] if open else ()

    def _said(self, option: str, variable: str) -> str:
        """What was said of an option of libpq: by a key, in the URL or in the environment; "" for nothing."""
        from psycopg.conninfo import conninfo_to_dict

        given = conninfo_to_dict(self.url.get_secret_value() if self.url else "") | self.options()
        return str(given.get(option) or os.environ.get(variable) or "")

    def origin(self, key: str | None) -> str | None:
        """Where libpq has the value of a key from that was not given by itself; None if nobody gave it."""
        from psycopg.conninfo import conninfo_to_dict

        if key not in _VARIABLES or getattr(self, key) is not None:
            return None
        option, variable = _VARIABLES[key]
        if option in conninfo_to_dict(self.url.get_secret_value() if self.url else ""):
            return f"{key} from the URL"
        return f"{key} from {variable} in the environment" if variable in os.environ else None

    def reference_text(self) -> str:
        """`host[:port]/database` as typed: no user, no secret; what libpq's environment decides is left out."""
        host, port, database = _place(self.url.get_secret_value() if self.url else "")
        host, port, database = self.host or host, str(self.port or port), self.database or database
        return f"{host or 'localhost'}{':' + port if port else ''}/{database}".rstrip("/")


def _is_here(host: str) -> bool:
    """Whether a host, an address or a socket's folder is this machine itself."""
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _place(url: str) -> tuple[str, str, str]:
    """(host, port, database) of a URI, cut up as libpq does it: user and password end at the first @ before any /."""
    rest = re.sub(r"^[^@/]*@", "", url.partition("://")[2]).partition("?")[0]
    place, _, database = rest.partition("/")
    host, port = re.fullmatch(r"(\[.*\]|.*?)(?::(\d*))?", place, re.DOTALL).groups("")  # type: ignore[union-attr]
    return host, port, unquote(database)
