"""`.env` files as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from wherry.config.environment import LIMIT, Environment, read_dotenv
from wherry.errors import UsageError

TEXT = """\
\ufeff# a comment
PLAIN=one two   # and why
  export EXPORTED = 1
SINGLE='it is # "so" \\n'   # note
DOUBLE="a \\"b\\" \\n\\\\ $X"
HASH=a#b
EMPTY=
PEM="-----BEGIN
line
-----END"
docker style line
CRLF=yes\r
SPACED="x"\x20
LAST=end"""


def test_values_and_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(TEXT.encode())
    found = {name: (setting.value, setting.origin) for name, setting in read_dotenv(tmp_path / ".env")}
    assert found == {
        "PLAIN": ("one two", "PLAIN (.env, line 2)"),
        "EXPORTED": ("1", "EXPORTED (.env, line 3)"),
        "SINGLE": ('it is # "so" \\n', "SINGLE (.env, line 4)"),
        "DOUBLE": ('a "b" \n\\ $X', "DOUBLE (.env, line 5)"),
        "HASH": ("a#b", "HASH (.env, line 6)"),
        "EMPTY": ("", "EMPTY (.env, line 7)"),
        "PEM": ("-----BEGIN\nline\n-----END", "PEM (.env, line 8)"),
        "CRLF": ("yes", "CRLF (.env, line 12)"),
        "SPACED": ("x", "SPACED (.env, line 13)"),
        "LAST": ("end", "LAST (.env, line 14)"),
    }


def test_the_process_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    found = Environment.load(tmp_path, {"A": "process", "PRE_KEY": "x", "PRE_": "y"})
    assert [(s.value, s.origin) for s in map(found.get, "AB") if s] == [
        ("process", "environment A"),
        ("file", "B (.env, line 2)"),
    ]
    assert [(key, s.value) for key, s in found.starting("PRE_")] == [("key", "x")]
    assert found.get("C") is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"A=1\nWHERRY_SOURCE_X_PASSWORD: S3CR3T\n", ".env, line 2: expected NAME=value, with quotes closed"),
        (b'WHERRY_X="S3CR3T\n', ".env, line 1: expected NAME=value, with quotes closed"),
        (b"A=\xff", "{}/.env is not UTF-8: byte 2"),
        (b"A=" + b"x" * LIMIT, "{}/.env is larger than 1 MiB"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / ".env").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        Environment.load(tmp_path, {})
    assert caught.value.message == message.format(tmp_path)
    assert "S3CR3T" not in f"{caught.value.message}{caught.value.next}{caught.value.where}"


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(UsageError, match=r"cannot read .*: Is a directory"):
        Environment.load(tmp_path, {})


def test_settings_do_not_show_their_value(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=S3CR3T")
    assert "S3CR3T" not in repr(Environment.load(tmp_path, {}))
