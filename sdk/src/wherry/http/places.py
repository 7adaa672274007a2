"""Where requests may go: the host of `base_url`, and nowhere else; how an address is shown; what an address is."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from wherry.errors import PolicyError, UsageError
from wherry.telling import SECRET

MASK = "***"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """A scheme, host and port: what credentials belong to."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return self.host if self.port in _PORTS.values() else f"{self.host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether it names this machine itself."""
        address = literal(self.host)
        return address.is_loopback if address else self.host == "localhost" or self.host.endswith(".localhost")

    def admits(self, other: Place) -> bool:
        """Whether what belongs here may go there: the same place, or the same host by TLS."""
        safer = (self.scheme, other.scheme) == ("http", "https") and self.port == 80 and other.port == 443
        return self == other or (safer and self.host == other.host)


def place_of(url: str) -> Place:
    """Where a request to the address really goes: as the library that connects reads it.

    PolicyError: it is no address of HTTP, or holds a user.
    """
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise PolicyError(f"{url_shown(url)!r} is no address", next="write it as https://HOST/PATH") from None
    if parts.scheme not in _PORTS or not parts.host or parts.auth is not None or _controls(url):
        raise PolicyError(
            f"{url_shown(url)!r} is refused: an address of HTTP without a user is expected",
            next="write it as https://HOST/PATH, and credentials as auth",
        )
    return Place(parts.scheme, parts.host.strip("[]").lower(), parts.port or _PORTS[parts.scheme])


def base_of(url: str, key: str) -> Place:
    """The place of a configured address; UsageError if it is none. key: where it is configured."""
    try:
        return place_of(url)
    except PolicyError as error:
        raise UsageError(error.message, key=key, next=error.next) from None


def below(base: str, path: str) -> str:
    """The address of a path below `base_url`; an absolute address as it is. A path may not leave its base."""
    if "://" in path.partition("?")[0] or path.lower().startswith(("file:", "data:", "ftp:")):
        return path
    if any(part in (".", "..") for part in unquote(path.partition("?")[0]).replace("\\", "/").split("/")):
        raise PolicyError(f"path {path!r} leaves its base_url", next="write the address it means")
    front, question, query = base.partition("?")
    path, _, own = path.partition("?")
    joined = f"{front.rstrip('/')}/{path.lstrip('/')}" if path else front
    queries = "&".join(part for part in (query if question else "", own) if part)
    return joined + ("?" + queries if queries else "")


def allowed(home: Place, url: str, what: str) -> str:
    """The address, if what belongs to `home` may go there. what: how it came up, for the message."""
    place = place_of(url)
    if home.admits(place):
        return url
    host = str(place)
    why = "not by TLS" if (place.host, home.scheme) == (home.host, "https") and place.scheme == "http" else "elsewhere"
    raise PolicyError(
        f"{what} {url_shown(url)}, which is {why}: only {home.scheme}://{home} may be asked",
        next=f"if {host} is right, make it the base_url" if why == "elsewhere" else "ask whose API it is",
    )


def redirected(url: str, location: str) -> str:
    """The address that a `Location` header means."""
    return urljoin(url, location.strip())


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host name is; an IPv4 address that is written as IPv6 as what it is."""
    try:
        found = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


class Addresses:
    """What a host's name may mean in this run. Safe to use from all lanes.

    A name that meant a public address at first and then means an inner one is refused (rebinding); addresses that are
    nobody's API (link-local, where clouds keep credentials; multicast; none) unless they are written as such.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._public = False
        self._lock = threading.Lock()

    def admit(self, address: str) -> None:
        """Refuse a peer's address, before anything is sent to it; PolicyError."""
        peer = literal(address)
        if peer is None or peer == literal(self._host):
            return
        inner = not peer.is_global
        with self._lock:
            rebound = inner and self._public
            self._public |= not inner
        if rebound or peer.is_link_local or peer.is_multicast or peer.is_unspecified or str(peer) == "fd00:ec2::254":
            what = "an inner address after a public one" if rebound else "not the address of an API"
            raise PolicyError(
                f"{self._host} resolves to {peer}, {what}: nothing was sent there",
                next="see who answers for that name",
            )


def url_shown(url: str, secrets: Iterable[str] = ()) -> str:
    """An address for messages: no user, no fragment, values of telling parameters and known secrets masked."""
    front, question, query = url.partition("#")[0].partition("?")
    scheme, mark, rest = front.partition("://")
    if mark:
        authority, slash, path = rest.partition("/")
        front = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    text = front + question + "&".join(map(_masked, query.split("&")))
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote(secret)):
            text = text.replace(form, MASK)
    return "".join(c if c.isprintable() else quote(c) for c in text[:2_000])


def _masked(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={MASK}" if equals and SECRET.search(unquote(name)) else pair


def _controls(url: str) -> bool:
    return any(c <= " " or c == "\x7f" or c == "\\" for c in url)
