"""How an API is spoken to: authentication, paging, budgets, what an answer means. The words of manifests and classes.

Each model is a frozen pydantic dataclass: `Bearer("…")` in Python is `{type: bearer, token: …}` in YAML. A text may
hold the templates of `wherry.http.template`; a number may be one that stands alone ("{config.size}"). A *path* is
dotted, with `*` over lists and over the values of a map; `""` is the body itself.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field, SecretStr, StringConstraints, WithJsonSchema, model_validator
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True)

Template = Annotated[str, StringConstraints(pattern=r"^\{[a-z_]+(\.\w+)?\}$")]
"""A template that stands alone: its value takes the place of a number."""
Count = Annotated[int, Field(ge=1)] | Template
Number = int | Template
Seconds = Annotated[float, Field(ge=0)] | Template
Duration = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?\s*(ms|s|m|h|d|w)$")] | Annotated[float, Field(ge=0)]
"""Seconds, or a text such as "90s", "5m", "1h", "30d", "2w"."""
SecretText = Annotated[str | SecretStr, WithJsonSchema({"type": "string"})]
"""A text that is never shown: in a manifest a template, in a function the secret itself."""


@dataclass(frozen=True, config=STRICT)
class Bearer:
    """`Authorization: Bearer TOKEN`."""

    token: SecretText = field(repr=False)
    type: Literal["bearer"] = field(default="bearer", kw_only=True)


@dataclass(frozen=True, config=STRICT)
class ApiKey:
    """A key in a header or a query parameter called `name`. In Python the place is `in_`."""

    name: str
    value: SecretText = field(repr=False)
    in_: Literal["header", "query"] = Field(
        default="header", validation_alias=AliasChoices("in", "in_"), serialization_alias="in"
    )
    type: Literal["api_key"] = field(default="api_key", kw_only=True)


@dataclass(frozen=True, config=STRICT)
class Basic:
    """HTTP basic authentication."""

    username: SecretText
    password: SecretText = field(default="", repr=False)
    type: Literal["basic"] = field(default="basic", kw_only=True)


@dataclass(frozen=True, config=STRICT)
class OAuth2:
    """A token from `token_url`, fetched anew before it expires and once after a 401.

    A refresh token that the server replaces is on disk before the new access token is used.
    """

    token_url: str
    grant: Literal["client_credentials", "refresh_token", "password"] = "client_credentials"
    client_id: SecretText | None = None
    client_secret: SecretText | None = field(default=None, repr=False)
    refresh_token: SecretText | None = field(default=None, repr=False)
    username: SecretText | None = None
    password: SecretText | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ()
    send: Literal["body", "basic"] = "body"
    type: Literal["oauth2"] = field(default="oauth2", kw_only=True)

    @model_validator(mode="after")
    def _complete(self) -> OAuth2:
        needed = {"client_credentials": ("client_id",), "refresh_token": ("refresh_token",)}
        for name in needed.get(self.grant, ("username", "password")):
            if getattr(self, name) is None:
                raise ValueError(f"grant {self.grant} needs {name}")
        return self


@dataclass(frozen=True, config=STRICT)
class Send:
    """Where the token of a login goes: a header, and what is written there ("{token}" is the token)."""

    header: str = "Authorization"
    format: str = "Bearer {token}"


@dataclass(frozen=True, config=STRICT)
class Login:
    """A token from a POST of `body` to `path`, found in the answer at `token`; again after a 401 or `expires`."""

    path: str
    body: dict[str, Any] = field(repr=False)
    token: str = "token"  # noqa: S105 - a path in the answer
    send: Send = field(default_factory=Send)
    expires: Duration | None = None
    type: Literal["login"] = field(default="login", kw_only=True)


@dataclass(frozen=True, config=STRICT)
class NoAuth:
    """Nothing is sent."""

    type: Literal["none"] = field(default="none", kw_only=True)


Auth = Annotated[Bearer | ApiKey | Basic | OAuth2 | Login | NoAuth, Field(discriminator="type")]


@dataclass(frozen=True, config=STRICT)
class Page:
    """Pages by number. pages, rows: paths of the count of all pages, or rows. With `size`, a short page is the last."""

    param: str = "page"
    start: Number = 1
    size_param: str | None = None
    size: Count | None = None
    pages: str | None = None
    rows: str | None = None
    type: Literal["page"] = field(default="page", kw_only=True)

    @model_validator(mode="after")
    def _complete(self) -> Page:
        if self.size_param and self.size is None:
            raise ValueError("size_param needs size")
        if self.rows is not None and self.size is None:
            raise ValueError("rows needs size")
        return self


@dataclass(frozen=True, config=STRICT)
class Offset:
    """Pages by the number of rows before them. rows: path of the count of all rows."""

    param: str = "offset"
    start: Number = 0
    limit_param: str | None = "limit"
    limit: Count | None = None
    rows: str | None = None
    type: Literal["offset"] = field(default="offset", kw_only=True)


@dataclass(frozen=True, config=STRICT)
class Cursor:
    """Pages by a token from the answer: at `path`, in `header`, or the field `last` of the last record.

    more, done: path of a flag; paging ends where `more` is false, or `done` true. start: the token of the first page.
    """

    param: str
    path: str | None = None
    header: str | None = None
    last: str | None = None
    start: str | int | None = None
    more: str | None = None
    done: str | None = None
    type: Literal["cursor"] = field(default="cursor", kw_only=True)

    @model_validator(mode="after")
    def _one_place(self) -> Cursor:
        if sum(place is not None for place in (self.path, self.header, self.last)) != 1:
            raise ValueError("one of path, header, last is needed")
        return self


@dataclass(frozen=True, config=STRICT)
class LinkHeader:
    """The next page's address is in the `Link` header under `rel`."""

    rel: str = "next"
    type: Literal["link_header"] = field(default="link_header", kw_only=True)


@dataclass(frozen=True, config=STRICT)
class NextUrl:
    """The next page's address stands in the body at `path`, or in `header`.

    done: path of a flag; paging ends where it is true, though there is an address.
    """

    path: str | None = None
    header: str | None = None
    done: str | None = None
    type: Literal["next_url"] = field(default="next_url", kw_only=True)

    @model_validator(mode="after")
    def _one_place(self) -> NextUrl:
        if (self.path is None) == (self.header is None):
            raise ValueError("one of path, header is needed")
        return self


@dataclass(frozen=True, config=STRICT)
class NoPaging:
    """There is one page."""

    type: Literal["none"] = field(default="none", kw_only=True)


@dataclass(frozen=True, config=STRICT)
class Auto:
    """To be found out: only `wherry preview` takes it, and prints what to write."""

    type: Literal["auto"] = field(default="auto", kw_only=True)


Paginate = Annotated[Page | Offset | Cursor | LinkHeader | NextUrl | NoPaging | Auto, Field(discriminator="type")]


@dataclass(frozen=True, config=STRICT)
class RateLimit:
    """`requests` in each `per`, at most `concurrency` at once, shared by all streams of a host.

    remaining_header, reset_header: what the server says is left, and when it is full again. pause_header: seconds to
    wait now, on any answer.
    """

    requests: Count | None = None
    per: Duration = "1s"
    concurrency: Count | None = None
    remaining_header: str | None = None
    reset_header: str | None = None
    reset: Literal["epoch_s", "seconds", "iso"] = "epoch_s"
    pause_header: str | None = None


@dataclass(frozen=True, config=STRICT)
class Retry:
    """Which answers are asked for again, and for how many seconds in all; then the stream fails."""

    statuses: tuple[int, ...] = (408, 425, 429, 500, 502, 503, 504)
    max_seconds: Seconds = 600


Action = Literal["retry", "wait", "skip", "stop", "fail", "auth"]


@dataclass(frozen=True, config=STRICT)
class OnResponse:
    """What an answer means. status: one, or several; contains: a text in its body; both must fit.

    retry: ask again. wait: ask again when the server says. skip: this page, parent or item has no rows. stop: the
    stream ends here, complete. fail: the stream fails. auth: log in anew, once.
    """

    status: int | tuple[int, ...] | None = None
    contains: str | None = None
    do: Action = "fail"

    @model_validator(mode="after")
    def _some(self) -> OnResponse:
        if self.status is None and self.contains is None:
            raise ValueError("one of status, contains is needed")
        return self

    def fits(self, status: int, text: str) -> bool:
        """Whether this rule is about an answer of that status and text."""
        statuses = (self.status,) if isinstance(self.status, int) else self.status
        return (statuses is None or status in statuses) and (self.contains is None or self.contains in text)
