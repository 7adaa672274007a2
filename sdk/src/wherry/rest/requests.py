"""From what an author wrote to requests: templates filled in, parameters where they belong."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import SecretStr, ValidationError

from wherry.contracts.source import Run
from wherry.errors import UsageError
from wherry.http.client import Client
from wherry.http.models import Paginate
from wherry.http.paging import Step, not_carried
from wherry.http.values import Request
from wherry.rest import template
from wherry.rest.models import Manifest, RestStream
from wherry.rest.template import ABSENT, Values

T = TypeVar("T")


def new_client(manifest: Manifest, config: Mapping[str, Any], run: Run) -> Client:
    """The way to the API, with everything that is the same for all streams. Does no I/O."""
    values = Values(config=config)
    return Client(
        base_url=base_url(manifest, config), auth=filled(manifest.auth, values),
        headers=_headers(manifest.headers, values), params={},
        rate_limit=filled(manifest.rate_limit, values), retry=filled(manifest.retry, values),
        on_response=manifest.on_response, timeout=float(template.rendered(manifest.timeout, values)), run=run,
        name=manifest.name,
    )  # fmt: skip


def base_url(manifest: Manifest, config: Mapping[str, Any]) -> str:
    """Where the API is."""
    found = template.rendered(manifest.base_url, Values(config=config))
    return found.get_secret_value() if isinstance(found, SecretStr) else str(found)


def paging(manifest: Manifest, stream: RestStream, config: Mapping[str, Any]) -> Paginate | None:
    """How the stream's pages follow on each other, its numbers filled in."""
    return filled(stream.paginate if stream.paginate is not None else manifest.paginate, Values(config=config))


def filled(model: T, values: Values) -> T:
    """A model (or None) with the templates of its texts filled in."""
    if model is None or not dataclasses.is_dataclass(model) or isinstance(model, type):
        return model
    given = {f.name: getattr(model, f.name) for f in dataclasses.fields(model) if f.init}
    made = {name: _filled(value, values) for name, value in given.items()}
    changed = {name: value for name, value in made.items() if value is not given[name] and value != given[name]}
    if not changed:
        return model
    try:
        return dataclasses.replace(model, **changed)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, detail["loc"]))
        what = f"{type(model).__name__}: {name} {detail['msg']}".lower()
        raise UsageError(what, next="correct what fills it") from None


def _filled(value: Any, values: Values) -> Any:
    return filled(value, values) if dataclasses.is_dataclass(value) else template.rendered(value, values)


def request(manifest: Manifest, stream: RestStream, values: Values, window: Mapping[str, Any], step: Step) -> Request:
    """The request for one page. window: the parameters of an incremental read.

    Parameters of window and page go into the body of a POST (dotted names), else into the query.
    """
    params = _params({**manifest.params, **stream.params}, values)
    more = {name: template.parameter(value, values) for name, value in {**window, **step.params}.items()}
    body = template.body(stream.body, values) if stream.body is not None else None
    if stream.method == "POST":
        body = within(body, {**window, **step.params})
    else:
        params.update(more)
    url = step.url
    if url is not None:
        params = not_carried(url, params)
    return Request(
        url=url if url is not None else template.path(stream.name if stream.path is None else stream.path, values),
        method=stream.method, params=params, headers=_headers(stream.headers, values), json=body,
    )  # fmt: skip


def within(body: Any, values: Mapping[str, Any]) -> Any:
    """The JSON body with values at dotted names."""
    if not values:
        return body
    if body is not None and not isinstance(body, dict):
        raise UsageError("the body of a POST that takes parameters is a mapping", key="body", next="write body as one")
    made = dict(body or {})
    for name, value in values.items():
        *steps, last = name.split(".")
        inner = made
        for step in steps:
            known = inner.get(step)
            inner[step] = dict(known) if isinstance(known, dict) else {}
            inner = inner[step]
        inner[last] = value
    return made


def _params(given: Mapping[str, Any], values: Values) -> dict[str, Any]:
    found = {name: template.parameter(value, values) for name, value in given.items() if value is not None}
    return {name: value for name, value in found.items() if value is not ABSENT and value is not None}


def _headers(given: Mapping[str, Any], values: Values) -> dict[str, Any]:
    found = {name: template.header(name, value, values) for name, value in given.items()}
    return {name: value for name, value in found.items() if value is not ABSENT}
