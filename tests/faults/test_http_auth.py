"""Tokens that expire in mid-read, refresh tokens that are good once, runs that are killed while one is renewed."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from harness import oracle
from harness.api import ROWS, Api, page
from wherry_web import Asked, Provider, Said, Web, said

SECRETS = ("S3CR3T-client", "refresh-", "access-")


class Acme(Provider):
    """Pages for who has the access token of the moment."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pages: list[str] = []

    def __call__(self, asked: Asked) -> Said:
        found = super().__call__(asked)
        if asked.route == "/token" or b" 401 " in next(iter(found.pieces)):
            return found
        self.pages.append(asked.path)
        return page(asked)


def auth(web: Web, **words: Any) -> dict[str, Any]:
    return {
        "type": "oauth2", "token_url": f"{web.url}/token", "grant": "refresh_token", "client_id": "app",
        "client_secret": "S3CR3T-client", "refresh_token": "refresh-0", **words,
    }  # fmt: skip


def kept(api: Api) -> list[str]:
    """Refresh tokens on disk."""
    folder = Path(api.wherry.env["WHERRY_STATE_DIR"]) / "tokens"
    return [json.loads(path.read_text())["refresh_token"] for path in folder.glob("*.json")]


def used(web: Web) -> list[str]:
    """Refresh tokens that the provider was shown."""
    return [asked.form["refresh_token"] for asked in web.to("/token")]


@pytest.fixture
def acme() -> Acme:
    return Acme()


@pytest.mark.fault(60, tier=1)
@pytest.mark.parametrize("uses", [3, 1])
def test_a_token_that_expires_in_mid_read(api: Api, web: Web, uses: int) -> None:
    acme = Acme(uses=uses)
    api.reads(web, acme, auth=auth(web))
    api.exact()
    assert len(acme.pages) == 7
    assert len(web.to("/token")) == -(-7 // uses)
    assert used(web) == [f"refresh-{n}" for n in range(len(used(web)))]
    assert kept(api) == [acme.refresh]


@pytest.mark.fault(60, tier=1)
@pytest.mark.parametrize("grant", ["client_credentials", "password"])
def test_other_grants(api: Api, web: Web, grant: str) -> None:
    acme = Acme(uses=3)
    api.reads(web, acme, auth=auth(web, grant=grant, username="ana", password="pw", refresh_token=None))
    api.exact()
    assert [asked.form["grant_type"] for asked in web.to("/token")] == [grant] * 3
    assert kept(api) == []


@pytest.mark.fault(60, tier=1)
def test_streams_read_at_once_share_one_token(api: Api, web: Web) -> None:
    acme = Acme(uses=20)
    streams = {f"s{number}": {"records": "data", "primary_key": "id"} for number in range(8)}
    api.reads(web, acme, auth=auth(web), streams=streams)
    for name in streams:
        api.exact(stream=name)
    assert used(web) == [f"refresh-{n}" for n in range(3)]  # 56 pages
    assert len(acme.pages) == 56


@pytest.mark.parametrize(
    ("point", "again"),
    [
        pytest.param("K18:kill:1", 2, marks=pytest.mark.fault(60, tier=0)),
        pytest.param("K18:kill:2", 0, marks=pytest.mark.fault(60, tier=0)),
        pytest.param("K18:kill:3", 2, marks=pytest.mark.fault(60, tier=1)),
        pytest.param("K18:kill:4", 0, marks=pytest.mark.fault(60, tier=1)),
    ],
)
def test_killed_while_a_token_is_renewed(api: Api, web: Web, point: str, again: int) -> None:
    """Before it is kept: the next run says that it is to be authorised anew. After: the next run works. Nobody ever
    used the access token of a refresh token that is not on disk."""
    acme = Acme(uses=3)
    web.answer = acme
    api.describe(f"{web.url}/v1", auth=auth(web))
    done = api.sync(expect=137, failpoint=point)
    assert len(acme.pages) == (0 if point[-1] in "12" else 3)
    assert kept(api) in ([], [f"refresh-{acme.issued - (again == 2)}"])
    done = api.sync(expect=again)
    if again:
        assert "refused the refresh token" in done.stderr
        assert "authorise anew, and put the new refresh_token into the configuration" in done.stderr
        acme.refresh = "refresh-anew"
        api.describe(f"{web.url}/v1", auth=auth(web, refresh_token="refresh-anew"))
        api.sync()
    api.exact()
    assert acme.refresh in kept(api)


@pytest.mark.fault(60, tier=1)
def test_a_provider_that_is_lenient_makes_it_good_again(api: Api, web: Web) -> None:
    """It takes the last refresh token once more: then nobody has to do anything."""
    acme = Acme(uses=3)
    web.answer = acme
    api.describe(f"{web.url}/v1", auth=auth(web))
    api.sync(expect=137, failpoint="K18:kill:1")
    acme.refresh = "refresh-0"
    api.sync()
    api.exact()


@pytest.mark.fault(60, tier=1)
def test_a_provider_that_fails_for_a_while(api: Api, web: Web) -> None:
    acme = Acme(uses=3)
    failing = iter([False, True, True, False, True])

    def answer(asked: Asked) -> Said | None:
        if asked.route == "/token" and next(failing, False):
            return said(status=500)
        return acme(asked)

    api.reads(web, answer, auth=auth(web))
    api.exact()
    assert kept(api) == [acme.refresh]


@pytest.mark.fault(60, tier=1)
def test_a_provider_that_fails_for_good(api: Api, web: Web) -> None:
    acme = Acme(uses=3)
    done = api.reads(
        web, lambda a: said(status=500) if a.route == "/token" and acme.issued else acme(a), expect=3, auth=auth(web),
        retry={"max_seconds": 2},
    )  # fmt: skip
    assert "/token answered 500" in done.stderr
    assert kept(api) == ["refresh-1"]
    api.reads(web, acme, auth=auth(web))
    api.exact()


@pytest.mark.fault(60, tier=1)
def test_what_is_kept_is_for_its_user_alone_and_nothing_shows_it(api: Api, web: Web) -> None:
    before = os.umask(0)
    try:
        web.answer = Acme(uses=3)
        api.describe(f"{web.url}/v1", auth=auth(web))
        done = api.sync("--debug")
    finally:
        os.umask(before)
    state = Path(api.wherry.env["WHERRY_STATE_DIR"])
    modes = {stat.S_IMODE(p.stat().st_mode) for p in state.rglob("*") if p.is_file()}
    assert modes == {0o600}
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr
    logs = state / "runs"
    assert not [wrong for secret in SECRETS for wrong in oracle.silent(secret, [], [logs])]
    assert api.rows() == ROWS


@pytest.mark.fault(60, tier=1)
@pytest.mark.parametrize("data", [b"", b"{", b"\xff" * 50, b'{"refresh_token": 1}'])
def test_a_kept_token_that_is_damaged_is_told(api: Api, web: Web, data: bytes) -> None:
    acme = Acme()
    api.reads(web, acme, auth=auth(web))
    (file,) = (Path(api.wherry.env["WHERRY_STATE_DIR"]) / "tokens").glob("*.json")
    file.write_bytes(data)
    done = api.reads(web, acme, expect=8, auth=auth(web))
    assert str(file) in done.stderr
    assert "put the new refresh_token into the configuration" in done.stderr
    assert web.log == []
    api.exact()


@pytest.mark.fault(60, tier=1)
def test_a_refused_token_is_not_asked_for_again(api: Api, web: Web) -> None:
    streams = {f"s{number}": {"records": "data", "primary_key": "id"} for number in range(8)}
    done = api.reads(
        web, lambda a: said({"error": "invalid_grant"}, 400), expect=2, auth=auth(web), streams=streams
    )  # fmt: skip
    assert "authorise anew" in done.stderr
    assert len(web.log) == 1


@pytest.mark.fault(60, tier=1)
def test_a_stop_while_a_host_asks_for_a_pause(api: Api, web: Web) -> None:
    """SIGTERM in a wait of five minutes: over at once, and the next run is exact."""
    web.answer = lambda asked: said(status=429, headers={"Retry-After": "300"})
    api.describe(f"{web.url}/v1", retry={"max_seconds": 600})
    running = api.start()
    while not web.log:
        assert running.alive, running.wait()
    running.send(signal.SIGTERM)
    done = api.checked(running.wait(), 143)
    assert done.seconds < 15
    assert len(web.log) == 1
    api.reads(web, page)
    api.exact()


@pytest.mark.fault(52, tier=1)
def test_a_long_wait_is_told_and_is_no_standstill(api: Api, web: Web) -> None:
    """It waits longer than --stall-timeout allows for nothing."""
    left = [said(status=429, headers={"Retry-After": "6"})]
    web.answer = lambda asked: left.pop() if asked.query.get("page") == "3" and left else page(asked)
    api.describe(f"{web.url}/v1", retry={"max_seconds": 60})
    done = api.sync("--stall-timeout", "3s", expect=0)
    assert "answered 429: going on in" in done.stderr
    assert "given up" not in done.stderr
    api.exact()
