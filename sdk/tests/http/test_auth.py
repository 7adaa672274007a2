"""Who we are: each kind as it arrives at the server; tokens fetched in time, once for all lanes."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from wherry import (
    ApiKey,
    AuthError,
    Basic,
    Bearer,
    Login,
    OAuth2,
    OnResponse,
    PolicyError,
    RateLimit,
    Retry,
    Run,
    Secret,
    Send,
    SourceError,
)
from wherry.http.values import Request
from wherry_clock import Hands
from wherry_web import Asked, Provider, Said, Web, said


@pytest.mark.parametrize(
    ("auth", "headers", "query"),
    [
        (Bearer(Secret("tok3n")), {"authorization": "Bearer tok3n"}, {}),
        (ApiKey("X-Key", Secret("k3y!")), {"x-key": "k3y!"}, {}),
        (ApiKey("key", Secret("k3y&/ä"), in_="query"), {}, {"key": "k3y&/ä"}),
        (
            Basic("ana", Secret("p:wü")),
            {"authorization": "Basic " + base64.b64encode("ana:p:wü".encode()).decode()},
            {},
        ),
    ],
)
def test_what_each_kind_sends(serve: Any, client: Any, auth: Any, headers: Any, query: Any) -> None:
    web = serve(lambda asked: said([]))
    shown = client(web, auth=auth).send(Request(url="items", params={"page": 1})).url
    assert web.log[0].headers.items() >= headers.items()
    assert web.log[0].query == {"page": "1"} | query
    assert shown == f"{web.url}/v1/items?page=1"


def test_a_key_in_the_query_replaces_the_one_that_a_next_address_carries(serve: Any, client: Any) -> None:
    web = serve(lambda asked: said([]))
    client(web, auth=ApiKey("key", "new", in_="query")).send(Request(url=f"{web.url}/v1/items?key=old&page=2"))
    assert web.log[0].path == "/v1/items?page=2&key=new"


def oauth2(web: Web, **options: Any) -> OAuth2:
    return OAuth2(f"{web.url}/token", **{"client_id": "app", "client_secret": Secret("s3cret"), **options})


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ({"scopes": ("a", "b")}, {"grant_type": "client_credentials", "scope": "a b"}),
        ({"grant": "refresh_token", "refresh_token": Secret("refresh-0")},
         {"grant_type": "refresh_token", "refresh_token": "refresh-0"}),
        ({"grant": "password", "username": "ana", "password": Secret("pw")},
         {"grant_type": "password", "username": "ana", "password": "pw"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("send", ["body", "basic"])
def test_grants(serve: Any, client: Any, options: Any, form: Any, send: Any) -> None:
    web = serve(Provider())
    made = client(web, auth=oauth2(web, send=send, **options))
    assert [made.send(Request(url="items")).body for _ in range(3)] == [b"[1]"] * 3
    asked = web.to("/token")
    told = {"client_id": "app", "client_secret": "s3cret"} if send == "body" else {}
    assert [a.form for a in asked] == [form | told]
    basic = "Basic " + base64.b64encode(b"app:s3cret").decode()
    assert (asked[0].auth, asked[0].method) == (basic if send == "basic" else None, "POST")
    assert [a.auth for a in web.to("/v1/items")] == ["Bearer access-1"] * 3


@pytest.mark.parametrize(("expires", "until"), [(3600, 3540), ("3600", 3540), (60, 30), (2, 1)])
def test_a_token_is_fetched_anew_before_it_expires(
    serve: Any, client: Any, hands: Hands, expires: Any, until: float
) -> None:
    web = serve(Provider(expires=expires))
    made = client(web, auth=oauth2(web))
    made.send(Request(url="items"))
    hands.passed = until - 0.1
    made.send(Request(url="items"))
    assert len(web.to("/token")) == 1
    hands.passed = until
    made.send(Request(url="items"))
    assert len(web.to("/token")) == 2
    assert [a.auth for a in web.to("/v1/items")] == [f"Bearer access-{n}" for n in (1, 1, 2)]


@pytest.mark.parametrize("expires", [None, "soon", 0, -5])
def test_a_token_of_unknown_length_is_good_until_it_is_refused(serve: Any, client: Any, expires: Any) -> None:
    web = serve(Provider(expires=expires, uses=2))
    made = client(web, auth=oauth2(web))
    assert [made.send(Request(url="items")).body for _ in range(5)] == [b"[1]"] * 5
    assert len(web.to("/token")) == 3
    assert len(web.to("/v1/items")) == 5 + 2  # each refused one once more


def test_after_a_second_refusal_it_is_final(serve: Any, client: Any) -> None:
    web = serve(Provider(uses=0))
    with pytest.raises(AuthError, match=r"answered 401 .*the credentials were refused, a new token too"):
        client(web, auth=oauth2(web)).send(Request(url="items"))
    assert (len(web.to("/token")), len(web.to("/v1/items"))) == (2, 2)


def test_a_rule_may_call_another_answer_expired(serve: Any, client: Any) -> None:
    provider = Provider()
    web = serve(lambda a: said({"code": 9}, 419) if a.auth == "Bearer access-1" else provider(a))
    rules = [OnResponse(419, do="auth")]
    assert client(web, auth=oauth2(web)).send(Request(url="items"), rules).body == b"[1]"
    assert len(web.to("/token")) == 2


@pytest.mark.parametrize("how", ["expires", "refused"])
def test_one_refresh_for_all_lanes(serve: Any, client: Any, hands: Hands, how: str) -> None:
    provider = Provider()
    web = serve(provider)
    run = Run()
    lanes = [client(web, auth=oauth2(web), run=run) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda made: made.send(Request(url="items")).body, lanes)) == {b"[1]"}
        assert len(web.to("/token")) == 1
        if how == "expires":
            hands.passed = 3600
        else:
            provider.used = 10**9 + 1
        assert set(pool.map(lambda made: made.send(Request(url="items")).body, lanes)) == {b"[1]"}
    assert len(web.to("/token")) == 2


def test_a_provider_that_fails_is_asked_again(serve: Any, client: Any, hands: Hands) -> None:
    provider = Provider()
    web = serve(lambda a: said(status=500) if a.route == "/token" and a.number < 2 else provider(a))
    assert client(web, auth=oauth2(web)).send(Request(url="items")).body == b"[1]"
    assert (len(web.to("/token")), hands.waited) == (3, [0.5, 1])


def test_a_provider_that_fails_for_ever_is_exit_3(serve: Any, client: Any, hands: Hands) -> None:
    web = serve(lambda a: said(status=500))
    with pytest.raises(SourceError, match=r"/token answered 500 \(tried"):
        client(web, auth=oauth2(web), retry=Retry(max_seconds=30)).send(Request(url="items"))
    assert web.to("/v1/items") == []
    assert len(web.log) < 10


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, {"error": "invalid_grant"}, "refused the refresh token: it answered 400 invalid_grant"),
        (401, {}, "refused the refresh token: it answered 401"),
        (200, {"error": "bad_verification_code"}, "refused the refresh token: it answered 200 bad_verification_code"),
    ],
)
def test_a_refused_refresh_token_is_told_once_to_all_lanes(
    serve: Any, client: Any, status: int, body: Any, message: str
) -> None:
    web = serve(lambda a: said(body, status))
    run = Run()
    auth = oauth2(web, grant="refresh_token", refresh_token=Secret("r3fresh"))
    for _ in range(3):
        with pytest.raises(AuthError, match=message) as caught:
            client(web, auth=auth, run=run).send(Request(url="items"))
        assert caught.value.exit_code == 2
        assert caught.value.next == "authorise anew, and put the new refresh_token into the configuration"
    assert len(web.log) == 1


@pytest.mark.parametrize("body", [{}, {"access_token": None}, {"access_token": 5}, b"<html>", [1], b""])
def test_an_answer_without_a_token(serve: Any, client: Any, body: Any) -> None:
    web = serve(lambda a: said(body))
    with pytest.raises(SourceError, match="/token answered 200, without an access_token"):
        client(web, auth=oauth2(web)).send(Request(url="items"))


def test_secrets_go_to_the_provider_alone_and_tokens_to_the_api_alone(serve: Any, client: Any) -> None:
    provider = Provider()
    tokens = serve(lambda asked: provider.token(asked))
    api = serve(provider)
    made = client(api, auth=oauth2(tokens), headers={"X-Team": "blue"}, params={"key": Secret("par4m")})
    assert made.send(Request(url="items")).body == b"[1]"
    assert "x-team" not in tokens.log[0].headers
    assert tokens.log[0].path == "/token"
    everything = json.dumps([[a.path, dict(a.headers), a.body.decode()] for a in api.log])
    assert "s3cret" not in everything


def test_credentials_do_not_go_out_in_plain_text_when_the_api_is_asked_by_tls(client: Any) -> None:
    with pytest.raises(PolicyError, match="would send the credentials in plain text"):
        client("https://api.example/v1", auth=OAuth2("http://login.example/token", client_id="a"))


def test_plain_http_to_another_machine_is_warned_of_once(client: Any, caplog: Any) -> None:
    run = Run()
    for _ in range(2):
        client("http://api.example/v1", auth=Bearer("t"), run=run)
    client("http://other.example/v1", run=run)
    client("http://127.0.0.1:1/v1", auth=Bearer("t"), run=run)
    assert [r.getMessage() for r in caplog.records] == [
        "api.example is asked over plain HTTP: everybody on the way can read the credentials"
    ]


LOGIN = Login("auth/with-password", {"user": "ana", "password": Secret("pw")}, token="data.token", expires="30m")


def test_a_login(serve: Any, client: Any, hands: Hands) -> None:
    logins: list[Any] = []

    def answer(asked: Asked) -> Said:
        if asked.route == "/v1/auth/with-password":
            logins.append(json.loads(asked.body))
            return said({"data": {"token": f"t{len(logins)}"}})
        return said([1] if asked.headers.get("x-session") == f"Token t{len(logins)}" else {}, 200)

    web = serve(answer)
    auth = Login(LOGIN.path, LOGIN.body, "data.token", Send("X-Session", "Token {token}"), "30m")
    made = client(web, auth=auth, rate_limit=RateLimit(concurrency=1))
    assert made.send(Request(url="items")).body == b"[1]"
    hands.passed = 1800
    assert made.send(Request(url="items")).body == b"[1]"
    assert logins == [{"user": "ana", "password": "pw"}] * 2


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_login_that_is_refused(serve: Any, client: Any, status: int) -> None:
    web = serve(lambda a: said({"message": "no"}, status))
    with pytest.raises(AuthError, match=f"/v1/auth/with-password refused the login: it answered {status}"):
        client(web, auth=LOGIN).send(Request(url="items"))
    assert len(web.log) == 1


@pytest.mark.parametrize("body", [{}, {"data": {"token": None}}, b"<html>"])
def test_a_login_without_a_token(serve: Any, client: Any, body: Any) -> None:
    web = serve(lambda a: said(body))
    with pytest.raises(SourceError, match=r"answered 200 to the login, without a token at 'data\.token'"):
        client(web, auth=LOGIN).send(Request(url="items"))


def test_a_login_stays_at_its_host(serve: Any, client: Any) -> None:
    web, other = serve(lambda a: said({})), serve(lambda a: said({}))
    with pytest.raises(PolicyError, match="the login is at"):
        client(web, auth=Login(f"{other.url}/login", {})).send(Request(url="items"))
    assert (web.log, other.log) == ([], [])


def test_what_comes_to_light_is_concealed(serve: Any, client: Any, tmp_path: Any) -> None:
    concealed: list[str] = []
    web = serve(Provider())
    auth = oauth2(web, grant="refresh_token", refresh_token=Secret("refresh-0"))
    client(web, auth=auth, run=Run(folder=tmp_path, conceal=concealed.append)).send(Request(url="items"))
    assert set(concealed) == {"s3cret", "refresh-0", "access-1", "refresh-1"}
