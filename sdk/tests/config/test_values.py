"""A connector's configuration from all places, strongest first, and where each value came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from wherry import AuthError, ConnectorConfig, Secret
from wherry.config.environment import Environment, Setting
from wherry.config.redact import Redactor
from wherry.config.reference import Reference
from wherry.config.values import Configured, configure
from wherry.errors import PolicyError, UsageError


class Proxy(BaseModel):
    model_config = ConfigDict(extra="forbid")
    host: str
    token: Secret | None = None


class Config(ConnectorConfig):
    reference = "url"
    url: Secret | None = None
    password: Secret | None = None
    port: int = Field(1, ge=1, le=65535)
    mode: Literal["fast", "safe"] = "fast"
    tags: tuple[str, ...] = ()
    labels: dict[str, int] | None = None
    proxy: Proxy | None = None
    size: str = "1kB"

    @field_validator("size")
    @classmethod
    def _size(cls, value: str) -> str:
        if not value.endswith("kB"):
            raise ValueError("should end in kB")
        return value


def build(
    folder: Path,
    *,
    sets: Sequence[str] = (),
    yaml: Mapping[str, Any] | None = None,
    value: str | None = None,
    environ: Mapping[str, str] | None = None,
    dotenv: str = "",
    redactor: Redactor | None = None,
    model: type[ConnectorConfig] = Config,
) -> Configured:
    (folder / ".env").write_text(dotenv)
    settings = {key: Setting(v, f"wherry.yaml, line {n}") for n, (key, v) in enumerate((yaml or {}).items(), 3)}
    named = {"name": "my-shop", "settings": settings, "origin": "wherry.yaml, line 2"} if yaml is not None else {}
    reference = Reference(kind="source", text="typed", connector="acme", value=value, **named)  # type: ignore[arg-type]
    return configure(
        reference,
        model,
        environment=Environment.load(folder, environ or {}),
        folder=folder,
        sets=sets,
        redactor=redactor,
    )


LAYERS: list[tuple[str, dict[str, Any], str]] = [
    ("set", {"sets": ["url=set"]}, "--set url"),
    ("typed", {"value": "typed"}, "the command line"),
    ("yaml", {"yaml": {"url": "yaml"}}, "wherry.yaml, line 3"),
    ("environ", {"environ": {"WHERRY_SOURCE_ACME_URL": "environ"}}, "environment WHERRY_SOURCE_ACME_URL"),
    ("dotenv", {"dotenv": "\nWHERRY_SOURCE_ACME_URL=dotenv"}, "WHERRY_SOURCE_ACME_URL (.env, line 2)"),
]


@pytest.mark.parametrize("strongest", range(len(LAYERS)))
def test_the_order_of_places(tmp_path: Path, strongest: int) -> None:
    given: dict[str, Any] = {}
    for _, layer, _ in LAYERS[strongest:]:
        given |= layer
    if strongest <= 1:
        del given["yaml"]  # an entry of the project is never typed with a rest
    value, _, origin = LAYERS[strongest]
    found = build(tmp_path, **given)
    url: Secret = found.config.url  # type: ignore[attr-defined]
    assert url.get_secret_value() == value
    assert found.provenance("url") == f"url from {origin}"


def test_the_name_in_the_project_is_a_stronger_prefix_than_the_connector_s(tmp_path: Path) -> None:
    environ = {"WHERRY_SOURCE_ACME_PORT": "2", "WHERRY_SOURCE_MY_SHOP_PORT": "3", "WHERRY_DESTINATION_ACME_PORT": "4"}
    assert build(tmp_path, environ=environ).config.port == 2  # type: ignore[attr-defined]
    assert build(tmp_path, environ=environ, yaml={}).config.port == 3  # type: ignore[attr-defined]


def test_an_error_about_a_key_learns_where_its_value_came_from(tmp_path: Path) -> None:
    found = build(tmp_path, dotenv="# x\n# y\nWHERRY_SOURCE_ACME_PASSWORD=S3CR3T\n")
    error = found.explain(AuthError("refused", key="password"))
    assert error.where == "password from WHERRY_SOURCE_ACME_PASSWORD (.env, line 3)"
    assert found.explain(AuthError("refused", key="mode")).where == (
        "mode was not given: --set mode=…, or WHERRY_SOURCE_ACME_MODE in the environment"
    )
    assert found.explain(AuthError("refused")).where is None


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("tags=a, b,c", "tags", ("a", "b", "c")),
        ('tags=["a,b", "c"]', "tags", ("a,b", "c")),
        ("tags=", "tags", ()),
        ('labels={"a": 1}', "labels", {"a": 1}),
        ("port=0042", "port", 42),
        ("size=[1] kB", "size", "[1] kB"),
    ],
)
def test_text_becomes_what_its_key_holds(tmp_path: Path, text: str, key: str, value: Any) -> None:
    assert getattr(build(tmp_path, sets=[text]).config, key) == value


def test_variables_and_files_are_put_in_last_and_named_as_origin(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("S3CR3T-file\n")
    found = build(
        tmp_path,
        yaml={"url": "acme://${USER_}:${file:key.txt}@h/$${x}", "tags": ["${A}", "b"]},
        environ={"USER_": "ana"},
        dotenv="A=one\n",
        redactor=(redactor := Redactor()),
    )
    assert found.config.url.get_secret_value() == "acme://ana:S3CR3T-file@h/${x}"  # type: ignore[attr-defined]
    assert found.config.tags == ("one", "b")  # type: ignore[attr-defined]
    assert found.origins == {
        "url": "wherry.yaml, line 3 (environment USER_, file key.txt)",
        "tags": "wherry.yaml, line 4 (A (.env, line 1))",
    }
    assert redactor.redact("x S3CR3T-file y ana") == "x *** y ana"
    assert build(tmp_path, sets=["size=${A}kB"]).config.size == "${A}kB"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("yaml", "message", "next"),
    [
        ({"url": "${NOPE}"}, "${NOPE} is not set", "export NOPE=…  or write it to .env"),
        ({"url": "${file:nope}"}, "no such file: nope", "create {}/nope"),
        ({"password_file": "nope"}, "no such file: nope", "create {}/nope"),
        ({"password": "${keyring:ana}"}, "keyring 'ana' is not of the form SERVICE/USER", "name both"),
    ],
)
def test_a_variable_that_is_not_there(tmp_path: Path, yaml: dict[str, str], message: str, next: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(tmp_path, yaml=yaml)
    error = caught.value
    assert (error.message, error.where) == (message, "wherry.yaml, line 3")
    assert error.next == next.format(tmp_path)


@pytest.mark.parametrize(
    ("given", "message", "where", "next"),
    [
        (
            {"sets": ["pasword=S3CR3T"]},
            "source acme: unknown key 'pasword': did you mean 'password'?",
            "pasword from --set pasword",
            "correct pasword; wherry plugins info acme lists the keys",
        ),
        (
            {"yaml": {"zzz": "S3CR3T"}},
            "source my-shop: unknown key 'zzz'",
            "zzz from wherry.yaml, line 3",
            "keys known here: url, password, port, mode, tags, labels, proxy, size",
        ),
        (
            {"environ": {"WHERRY_SOURCE_ACME_PORT": "many"}},
            "source acme: port should be a valid integer, not 'many'",
            "port from environment WHERRY_SOURCE_ACME_PORT",
            "correct port",
        ),
        (
            {"dotenv": "WHERRY_SOURCE_ACME_PORT=70000"},
            "source acme: port should be less than or equal to 65535, not '70000'",
            "port from WHERRY_SOURCE_ACME_PORT (.env, line 1)",
            "correct port",
        ),
        (
            {"yaml": {"mode": "quick"}},
            "source my-shop: mode should be 'fast' or 'safe', not 'quick'",
            "mode from wherry.yaml, line 3",
            "correct mode",
        ),
        (
            {"sets": ["size=1MB"]},
            "source acme: size should end in kB, not '1MB'",
            "size from --set size",
            "correct size",
        ),
        (
            {"yaml": {"password": ["S3CR3T"]}},
            "source my-shop: password should be a valid string",
            "password from wherry.yaml, line 3",
            "correct password",
        ),
        (
            {"yaml": {"proxy": {"hots": "S3CR3T", "host": "h"}}},
            "source my-shop: unknown key 'hots': did you mean 'host'?",
            "proxy from wherry.yaml, line 3",
            "correct proxy",
        ),
        ({"sets": ["S3CR3T"]}, "--set takes KEY=VALUE", None, "keys: url, password"),
    ],
)
def test_a_mistake_names_key_value_and_origin(
    tmp_path: Path, given: dict[str, Any], message: str, where: str | None, next: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build(tmp_path, **given)
    error = caught.value
    assert (error.message, error.where) == (message, where)
    assert (error.next or "").startswith(next)
    assert "S3CR3T" not in f"{error.message}{error.where}{error.next}"
    assert error.__context__ is None or error.__suppress_context__


def test_a_missing_key_says_where_it_could_be_given(tmp_path: Path) -> None:
    class Needs(ConnectorConfig):
        token: Secret

    with pytest.raises(UsageError) as caught:
        build(tmp_path, model=Needs)
    assert caught.value.message == "source acme: key 'token' is missing"
    assert caught.value.next == "give it with --set token=…  or WHERRY_SOURCE_ACME_TOKEN (environment, .env)"
    with pytest.raises(UsageError) as caught:
        build(tmp_path, model=Needs, value="x")
    assert caught.value.message == "source acme takes nothing after its name: typed"


def test_secrets_are_known_before_anything_can_fail(tmp_path: Path) -> None:
    redactor = Redactor()
    with pytest.raises(UsageError):
        build(
            tmp_path,
            value="acme://ana:in-the-url@h",
            sets=["port=x", "password=S3CR3T"],
            yaml={"proxy": {"host": "h", "token": "nested-one"}},
            redactor=redactor,
        )
    assert redactor.redact("in-the-url S3CR3T nested-one acme://ana@h") == "*** *** *** acme://ana@h"


def test_a_variable_that_almost_names_a_key_is_noted(tmp_path: Path) -> None:
    environ = {"WHERRY_SOURCE_ACME_PASWORD": "x", "WHERRY_SOURCE_ACME_CDC_SLOTNAME": "y"}
    assert build(tmp_path, environ=environ).notes == (
        "environment WHERRY_SOURCE_ACME_PASWORD: no key 'pasword' of source acme, did you mean 'password'?",
    )


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "key.txt"
    path.write_text("S3CR3T-in-a-file\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("place", ["sets", "environ", "dotenv", "yaml"])
def test_a_secret_kept_in_a_file(tmp_path: Path, kept: Path, place: str) -> None:
    variable = "WHERRY_SOURCE_ACME_PASSWORD_FILE"
    given: dict[str, Any] = {
        "sets": {"sets": [f"password_file={kept}"]},
        "environ": {"environ": {variable: str(kept)}},
        "dotenv": {"dotenv": f"{variable}={kept}"},
        "yaml": {"yaml": {"password_file": "key.txt"}},
    }[place]
    redactor = Redactor()
    found = build(tmp_path, redactor=redactor, **given)
    assert found.config.password.get_secret_value() == "S3CR3T-in-a-file"  # type: ignore[attr-defined]
    assert found.origins["password"].endswith(f"(file {'key.txt' if place == 'yaml' else kept})")
    assert redactor.redact("S3CR3T-in-a-file") == "***"
    assert found.notes == ()


def test_a_file_that_all_may_read_is_told_of(tmp_path: Path, kept: Path) -> None:
    kept.chmod(0o644)
    found = build(tmp_path, sets=[f"password_file={kept}"])
    assert found.notes == (f"{kept} is open to every user of this machine: chmod 600 {kept}",)


def test_the_stronger_place_counts_and_the_weaker_is_not_looked_up(tmp_path: Path, kept: Path) -> None:
    found = build(tmp_path, sets=["password=typed"], environ={"WHERRY_SOURCE_ACME_PASSWORD_FILE": "/nope"})
    assert found.config.password.get_secret_value() == "typed"  # type: ignore[attr-defined]
    found = build(tmp_path, sets=[f"password_file={kept}"], environ={"WHERRY_SOURCE_ACME_PASSWORD": "weaker"})
    assert found.config.password.get_secret_value() == "S3CR3T-in-a-file"  # type: ignore[attr-defined]


def test_only_secrets_are_kept_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown key 'mode_file'"):
        build(tmp_path, sets=["mode_file=x"])


KEYRING = """
class errors:
    class KeyringError(Exception): pass

def get_password(service, user):
    if service == "locked": raise errors.KeyringError("no")
    return {("shop", "ana"): "S3CR3T-in-a-ring"}.get((service, user))
"""


def test_a_secret_kept_in_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError) as caught:
        build(tmp_path, sets=["password_keyring=shop/ana"])
    assert caught.value.next == "pip install 'wherry[keyring]'"
    assert caught.value.where == "--set password_keyring"
    (tmp_path / "keyring.py").write_text(KEYRING)
    monkeypatch.syspath_prepend(str(tmp_path))
    for found in (
        build(tmp_path, sets=["password_keyring=shop/ana"]),
        build(tmp_path, yaml={"password": "${keyring:shop/ana}"}),
    ):
        assert found.config.password.get_secret_value() == "S3CR3T-in-a-ring"  # type: ignore[attr-defined]
        assert found.origins["password"].endswith("(keyring shop/ana)")
    with pytest.raises(UsageError, match="has nothing under shop/eve"):
        build(tmp_path, sets=["password_keyring=shop/eve"])
    with pytest.raises(UsageError, match="does not answer"):
        build(tmp_path, sets=["password_keyring=locked/ana"])


def test_what_is_put_in_is_not_looked_through_and_has_a_limit(tmp_path: Path) -> None:
    found = build(tmp_path, yaml={"size": "${A}kB"}, environ={"A": "${HOME} {{ 7*7 }} {0.__class__}"})
    assert found.config.size == "${HOME} {{ 7*7 }} {0.__class__}kB"  # type: ignore[attr-defined]
    with pytest.raises(PolicyError, match="more than 1 MiB together"):
        build(tmp_path, yaml={"size": "${A}" * 50_000}, environ={"A": "x" * 1_000})
    with pytest.raises(PolicyError, match="is a device"):
        build(tmp_path, yaml={"size": "${file:/dev/zero}"})


def test_json_that_says_a_key_twice_is_no_mapping(tmp_path: Path) -> None:
    for text in ('{"a": 1, "a": 2}', '{"a": NaN}', "[" * 100_000):
        with pytest.raises(UsageError, match="labels should be a valid dictionary"):
            build(tmp_path, sets=[f"labels={text}"])


def test_secrets_in_mappings_are_learned_by_the_names_of_their_keys(tmp_path: Path) -> None:
    redactor = Redactor()
    build(tmp_path, redactor=redactor, environ={"WHERRY_SOURCE_ACME_LABELS": "{}"})
    redactor.add_inside({"Authorization": "Bearer abcdef123", "deep": [{"api_key": "ghijkl456"}], "plain": "stays"})
    redactor.add_inside('headers={"Cookie": "mn\\"op789", "x": "stays"}')
    assert redactor.redact('abcdef123 ghijkl456 mn"op789 stays') == "*** *** *** stays"


class Free(ConnectorConfig):
    model_config = ConfigDict(extra="allow")
    port: int = 1


def test_keys_that_a_model_leaves_free_come_from_everywhere_and_their_names_tell_secrets(tmp_path: Path) -> None:
    redactor = Redactor()
    environ = {"WHERRY_SOURCE_ACME_API_KEY": "S3CR3T-environment", "WHERRY_SOURCE_ACME_HOST": "h"}
    sets = ["config.password=S3CR3T-set", "start=2024"]
    found = build(
        tmp_path, sets=sets, yaml={"port": 5, "limits": {"auth_token": "S3CR3T-nested"}}, environ=environ,
        redactor=redactor, model=Free,
    )  # fmt: skip
    given = found.config.model_dump()
    assert given == {
        "port": 5, "api_key": "S3CR3T-environment", "host": "h", "config.password": "S3CR3T-set", "start": "2024",
        "limits": {"auth_token": "S3CR3T-nested"},
    }  # fmt: skip
    assert redactor.redact("S3CR3T-environment S3CR3T-set S3CR3T-nested 2024") == "*** *** *** 2024"
