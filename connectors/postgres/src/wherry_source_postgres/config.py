"""Configuration of the PostgreSQL source: a URL or single keys; what is missing comes from libpq's own sources."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import ClassVar, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import Field, field_validator
from wherry import ConnectorConfig, Secret

_OURS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "passfile")
_OPEN = ("disable", "allow", "prefer")
_LIBPQ_ONLY = {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"}
"""Parameters that libpq knows and a server does not; what they ask for is done anyway, or by a key of ours."""


class PostgresConfig(ConnectorConfig):
    """How to reach the server. Single keys override the URL; PG* variables and the password file fill the rest."""

    reference: ClassVar[str | None] = "url"

    url: Secret | None = Field(None, description="postgresql://user@host:port/database, with or without the password")
    host: str | None = Field(None, description="host name, address or socket folder (PGHOST)")
    port: int | None = Field(None, ge=1, le=65535, description="port (PGPORT; 5432)")
    user: str | None = Field(None, description="role to connect as (PGUSER)")
    database: str | None = Field(None, description="database (PGDATABASE)")
    password: Secret | None = Field(None, description="password; better in the environment or in ~/.pgpass")
    passfile: str | None = Field(None, description="password file in libpq's format (PGPASSFILE)")
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        None, description="how far TLS goes (PGSSLMODE; prefer on this machine, require to any other)"
    )
    sslrootcert: str | None = Field(None, description="file of trusted certificates")
    sslcert: str | None = Field(None, description="file of the client's certificate")
    sslkey: str | None = Field(None, description="file of the client's key")
    connect_timeout: int = Field(
        10, ge=1, description="seconds to wait for a connection; twice as long for a sign of the server"
    )
    lock_timeout: float = Field(30, gt=0, description="seconds to wait for a lock that another session holds")
    statement_timeout: int = Field(0, ge=0, description="seconds after which the server ends a statement; 0: never")
    queries: dict[str, str] = Field(
        {}, description='streams of your own: name -> one SELECT (`--set queries=\'{"big": "select …"}\'`)'
    )
    splits: int | None = Field(
        None, ge=1, le=1000,
        description="how many parts a table is read in side by side, each of 1,000 rows at least; not set: by its "
        "size where an interrupted run can be gone on with, else one",
    )  # fmt: skip

    @field_validator("url")
    @classmethod
    def _is_uri(cls, url: Secret | None) -> Secret | None:
        text = url.get_secret_value() if url else "postgresql://"
        if not text.startswith(("postgresql://", "postgres://")):
            raise ValueError("not a URI of the form postgresql://user@host:port/database")
        try:
            _ = urlsplit(text).port
        except ValueError:
            raise ValueError(
                "has no number between 0 and 65535 for a port; /, @ and : of a password are written %2F, %40, %3A"
            ) from None
        return url

    def dsn(self) -> str:
        """A URI with everything but the password."""
        parts = urlsplit(self.url.get_secret_value() if self.url else "postgresql://")
        netloc = parts.netloc.rpartition("@")[2]
        if parts.username:
            netloc = f"{quote(unquote(parts.username), safe='')}@{netloc}"
        query = {k: v for k, v in parse_qsl(parts.query) if k not in _LIBPQ_ONLY and k != "password"}
        query |= {key: str(value) for key in _OURS if (value := getattr(self, key)) is not None}
        query |= {"sslmode": mode} if (mode := self.tls()) else {}
        return f"postgresql://{netloc}{parts.path}" + (f"?{urlencode(query)}" if query else "")

    def tls(self) -> str | None:
        """The sslmode to ask for where nobody said one and the server is elsewhere; None leaves it to the driver.

        `require`, or `verify-full` when a file of trusted certificates is named: naming one means to check by it.
        """
        if self._said("sslmode", "PGSSLMODE") or not self.elsewhere() or self._said("service", "PGSERVICE"):
            return None
        return "verify-full" if self._said("sslrootcert", "PGSSLROOTCERT") else "require"

    def plain(self, encrypted: bool) -> bool:
        """Whether a connection came about without TLS though nobody asked for that: by a service file, say."""
        return not encrypted and self.elsewhere() and not self._said("sslmode", "PGSSLMODE")

    def elsewhere(self) -> bool:
        """Whether the server is on another machine, as far as its name tells: no socket, not localhost."""
        netloc = unquote(urlsplit(self.url.get_secret_value() if self.url else "").netloc.rpartition("@")[2])
        hosts = self.host or self._said("host", "") or netloc or os.environ.get("PGHOST", "")
        return not all(_is_here(_host_and_port(host)[0].strip("[]")) for host in hosts.split(","))

    def warnings(self) -> Sequence[str]:
        """An encryption that was switched off."""
        mode = self._said("sslmode", "PGSSLMODE")
        open = mode in _OPEN and self.elsewhere()
        return [f"{self.address()[0]}: sslmode={mode} lets rows and password go unencrypted"] if open else ()

    def _said(self, option: str, variable: str) -> str:
        """What was said of an option: by a key, in the URL or in the environment; "" for nothing."""
        query = dict(parse_qsl(urlsplit(self.url.get_secret_value() if self.url else "").query))
        return str(getattr(self, option, None) or query.get(option) or os.environ.get(variable) or "")

    def files(self) -> dict[str, str]:
        """Key -> path of the files named by keys or by the URL."""
        query = dict(parse_qsl(urlsplit(self.url.get_secret_value() if self.url else "").query))
        named = {key: getattr(self, key) or query.get(key) for key in ("sslrootcert", "sslcert", "sslkey", "passfile")}
        return {key: path for key, path in named.items() if path and path != "system"}

    def secret(self) -> str | None:
        """The password from its key or from the URL; None leaves it to PGPASSWORD and the password file."""
        if self.password is not None:
            return self.password.get_secret_value()
        parts = urlsplit(self.url.get_secret_value() if self.url else "")
        typed = parts.password or dict(parse_qsl(parts.query)).get("password")
        return unquote(typed) if typed else None

    def password_origin(self) -> str | None:
        """Where a password that has no key of its own came from; None if it has, or if there is none."""
        if self.password is None and self.secret() is not None:
            return "password from the URL"
        if self.password is None and "PGPASSWORD" in os.environ:
            return "password from PGPASSWORD in the environment"
        return None

    def host_origin(self) -> str | None:
        """Where a host that has no key of its own came from; None if it has."""
        if self.host is not None:
            return None
        url = urlsplit(self.url.get_secret_value() if self.url else "")
        if url.netloc.rpartition("@")[2] or "host" in dict(parse_qsl(url.query)):
            return "host from the URL"
        return "host from PGHOST in the environment" if "PGHOST" in os.environ else "no host was given: this machine"

    def address(self) -> tuple[str, str]:
        """(host:port, database), as typed or from PGHOST, PGPORT, PGDATABASE, else libpq's defaults."""
        parts = urlsplit(self.url.get_secret_value() if self.url else "")
        query = dict(parse_qsl(parts.query))
        typed = query.get("host") or unquote(parts.netloc.rpartition("@")[2])
        host, port = _host_and_port(typed)
        host = self.host or host or os.environ.get("PGHOST") or "localhost"
        port = str(self.port or "") or query.get("port") or port or os.environ.get("PGPORT") or "5432"
        database = self.database or unquote(parts.path.strip("/")) or query.get("dbname")
        database = database or os.environ.get("PGDATABASE") or self.role() or "postgres"
        return f"{host}:{port}" if "," not in host else host, database

    def role(self) -> str:
        """The user as typed or from PGUSER; "" when it is the operating system's."""
        parts = urlsplit(self.url.get_secret_value() if self.url else "")
        typed = unquote(parts.username or "") or dict(parse_qsl(parts.query)).get("user", "")
        return self.user or typed or os.environ.get("PGUSER", "")

    def reference_text(self) -> str:
        """`postgresql://host:port/database`: no user, no secret."""
        place, database = self.address()
        return f"postgresql://{place}/{database}"


def _is_here(host: str) -> bool:
    """Whether a host, an address or a socket's folder is this machine itself."""
    if host in ("", "localhost") or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_and_port(place: str) -> tuple[str, str]:
    if "," in place:
        return place, ""
    host, colon, port = place.rpartition(":")
    if not colon or "]" in port:
        return place, ""
    return host, port
