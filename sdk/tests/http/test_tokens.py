"""Refresh tokens that are good for one use: kept before what they gave is used, found by the next run."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from wherry import AuthError, OAuth2, PolicyError, ResourceError, Run, Secret, StateError
from wherry.http.tokens import Kept
from wherry.http.values import Request
from wherry_web import Asked, Provider, Said


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "tokens").iterdir() if path.suffix != ".lock"}


def auth_of(web: Any, token: str = "refresh-0") -> Any:
    return OAuth2(
        f"{web.url}/token", grant="refresh_token", client_id="app", client_secret=Secret("s3cret"),
        refresh_token=Secret(token),
    )  # fmt: skip


def test_each_run_uses_what_the_one_before_it_was_given(serve: Any, client: Any, tmp_path: Path) -> None:
    web = serve(Provider())
    for _ in range(3):
        assert client(web, auth=auth_of(web), run=Run(folder=tmp_path)).send(Request(url="items")).body == b"[1]"
    assert [a.form["refresh_token"] for a in web.to("/token")] == ["refresh-0", "refresh-1", "refresh-2"]
    (data,) = files(tmp_path).values()
    assert json.loads(data) == {"v": 1, "refresh_token": "refresh-3"}


def test_the_new_one_is_on_disk_before_the_access_token_is_used(serve: Any, client: Any, tmp_path: Path) -> None:
    provider, seen = Provider(), []

    def answer(asked: Asked) -> Said:
        if asked.route != "/token":
            seen.append([json.loads(data)["refresh_token"] for data in files(tmp_path).values()])
        return provider(asked)

    web = serve(answer)
    client(web, auth=auth_of(web), run=Run(folder=tmp_path)).send(Request(url="items"))
    assert seen == [["refresh-1"]]


def test_a_new_token_in_the_configuration_wins(serve: Any, client: Any, tmp_path: Path) -> None:
    provider = Provider()
    web = serve(provider)
    client(web, auth=auth_of(web), run=Run(folder=tmp_path)).send(Request(url="items"))
    provider.refresh = "authorised-anew"
    with pytest.raises(
        AuthError, match=r"refused the refresh token kept in .*/tokens/.*json: it answered 400"
    ) as caught:
        client(web, auth=auth_of(web), run=Run(folder=tmp_path)).send(Request(url="items"))
    assert "authorise anew" in (caught.value.next or "")
    made = client(web, auth=auth_of(web, "authorised-anew"), run=Run(folder=tmp_path))
    assert made.send(Request(url="items")).body == b"[1]"
    assert len(files(tmp_path)) == 2


def test_no_file_is_kept_of_a_token_that_does_not_change(serve: Any, client: Any, tmp_path: Path) -> None:
    web = serve(Provider(rotates=False))
    client(web, auth=auth_of(web), run=Run(folder=tmp_path)).send(Request(url="items"))
    assert files(tmp_path) == {}


def test_files_are_for_their_user_alone(serve: Any, client: Any, tmp_path: Path) -> None:
    web = serve(Provider())
    before = os.umask(0)
    try:
        client(web, auth=auth_of(web), run=Run(folder=tmp_path / "state")).send(Request(url="items"))
    finally:
        os.umask(before)
    found = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "state").rglob("*") if p.is_file()}
    assert set(found.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "state" / "tokens").stat().st_mode) == 0o700
    assert not any("refresh" in name for name in found)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"v": 1}', b'{"refresh_token": 5}', b"\xff" * 100])
def test_a_damaged_file_is_never_taken_for_none(serve: Any, client: Any, tmp_path: Path, data: bytes) -> None:
    web = serve(Provider())
    client(web, auth=auth_of(web), run=Run(folder=tmp_path)).send(Request(url="items"))
    next((tmp_path / "tokens").glob("*.json")).write_bytes(data)
    with pytest.raises(StateError, match=r"tokens/.*\.json cannot be read: it is damaged") as caught:
        client(web, auth=auth_of(web), run=Run(folder=tmp_path)).send(Request(url="items"))
    assert caught.value.exit_code == 8
    assert len(web.to("/token")) == 1


@pytest.mark.parametrize("name", ["tokens", "{}.json", "{}.lock"])
def test_no_link_is_followed(serve: Any, client: Any, tmp_path: Path, name: str) -> None:
    web, state, victim = serve(Provider()), tmp_path / "state", tmp_path / "victim"
    kept = Kept(state, f"{web.url}/token", "app", "refresh-0")
    place = state / "tokens" / name.format(kept.path.stem) if "{}" in name else state / "tokens"
    place.parent.mkdir(parents=True, mode=0o700)
    victim.mkdir() if name == "tokens" else victim.write_text("mine")
    place.symlink_to(victim)
    with pytest.raises((PolicyError, StateError)):
        client(web, auth=auth_of(web), run=Run(folder=state)).send(Request(url="items"))
    assert web.log == []
    assert (list(victim.iterdir()) if name == "tokens" else victim.read_text()) == ([] if name == "tokens" else "mine")


def test_a_folder_that_cannot_be_written_is_told_before_the_token_is_spent(
    serve: Any, client: Any, tmp_path: Path
) -> None:
    web = serve(Provider())
    (tmp_path / "state").write_text("a file")
    with pytest.raises((ResourceError, PolicyError)):
        client(web, auth=auth_of(web), run=Run(folder=tmp_path / "state")).send(Request(url="items"))
    (tmp_path / "open" / "tokens").mkdir(parents=True)
    (tmp_path / "open" / "tokens").chmod(0o777)
    with pytest.raises(ResourceError, match="others may write there"):
        client(web, auth=auth_of(web), run=Run(folder=tmp_path / "open")).send(Request(url="items"))
    assert web.log == []


CHILD = """
import sys
from pathlib import Path
from wherry import NoAuth, OAuth2, Retry, Run
from wherry.http.client import Client
from wherry.http.values import Request
url, folder = sys.argv[1:]
auth = OAuth2(url + "/token", grant="refresh_token", client_id="app", client_secret="s3cret", refresh_token="refresh-0")
for _ in range(5):
    made = Client(base_url=url + "/v1", auth=auth, headers={}, params={}, rate_limit=None, retry=Retry(),
                  on_response=(), timeout=5, run=Run(folder=Path(folder)), name="acme")
    assert made._token()[0].startswith("access-")
    made.close()
"""


def test_processes_take_turns(serve: Any, tmp_path: Path) -> None:
    """Three at once, five tokens each: none is refused, each uses what the one before it was given."""
    provider = Provider()
    web = serve(provider)
    children = [subprocess.Popen([sys.executable, "-c", CHILD, web.url, str(tmp_path)]) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert [a.form["refresh_token"] for a in web.to("/token")] == [f"refresh-{n}" for n in range(15)]


def test_a_lock_that_is_held_is_waited_for_until_the_run_is_to_stop(tmp_path: Path) -> None:
    from wherry.errors import Stopped

    stop = threading.Event()
    with Kept(tmp_path, "a").held(Run()):
        threading.Timer(0.15, stop.set).start()
        with pytest.raises(Stopped), Kept(tmp_path, "a").held(Run(stop=stop)):
            raise AssertionError
    with Kept(tmp_path, "a").held(Run()) as kept:
        kept.write("x" * 20_000)
        assert kept.read() == "x" * 20_000
