"""Secrets are found by value, in every form in which they may turn up."""

from __future__ import annotations

import base64
import io
import json
import logging
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wherry import Secret
from wherry.config.redact import MASK, RedactingFilter, Redactor, one_line

SECRET = 'S3/CR=3T+ "ü"\\&x'


def knows(*secrets: object) -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret)
    return redactor


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower().replace("s3", "S3").replace("cr", "CR").replace("3t", "3T"),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        repr(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)
def test_each_form_is_masked(shown: str) -> None:
    assert knows(SECRET).redact(f"a {shown} b").startswith(f"a {MASK}")
    assert knows(SECRET).redact(f"a {shown} b").rstrip("= ").endswith("b")


@given(st.text("abcXYZ019+/= ", min_size=6, max_size=30), st.text(max_size=7), st.text(max_size=7))
def test_no_encoding_of_a_text_around_it_shows_it(secret: str, before: str, after: str) -> None:
    around = len(before.encode(errors="replace")) + len(after.encode(errors="replace"))
    whole = (before + secret + after).encode(errors="replace")
    shown = knows(secret).redact(base64.b64encode(whole).decode())
    assert MASK in shown
    assert len(shown.replace(MASK, "")) <= around * 4 / 3 + 8


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("acme://ana:S3CR3T@h:1/db", "S3CR3T"),
        ("acme://ana:S3%2FCR@h", "S3/CR"),
        ("acme://ana:p@ss/w:rd@h/db", "p@ss/w:rd"),
        ("acme://u:S3CR3T@[h", "S3CR3T"),
        ("acme://h/db?user=a&password=S3CR3T&x=1", "S3CR3T"),
        ("https://h/x?access_token=S3CR3T", "S3CR3T"),
        ("https://h/x?X-Signature=S3CR3T#f", "S3CR3T"),
        ("host=h password='S3 CR3T' user=a", "S3 CR3T"),
        ("api_key=S3CR3T", "S3CR3T"),
        ("password=a b=c", "a b=c"),
        ("url=acme://ana:S3CR3T@h", "S3CR3T"),
    ],
)
def test_what_is_secret_inside_a_text(text: str, hidden: str) -> None:
    redactor = Redactor()
    redactor.add_inside(text)
    assert redactor.redact(f"<{hidden}>") == f"<{MASK}>"
    assert hidden not in redactor.redact(text)


@pytest.mark.parametrize(
    "text", ["acme://ana@h:5432/db", "./data/*.csv", "a=b", "https://h/x?page=2", "http://h:5432/db", "x@y", ""]
)
def test_what_is_not_secret_stays(text: str) -> None:
    redactor = Redactor()
    redactor.add_inside(text)
    assert redactor.redact(f"see {text} 5432 h db") == f"see {text} 5432 h db"


def test_nested_secrets_and_key_files() -> None:
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\nq9Xc4bZ81kqz==\n-----END KEY-----\n"
    redactor = knows({"a": [Secret("one-secret"), "two-secret"], "b": Secret(key), "c": None, "d": b"three-secret"})
    text = redactor.redact("one-secret two-secret three-secret\nMIIEowIBAAKCAQEA\n  q9Xc4bZ81kqz==")
    assert text == f"{MASK} {MASK} {MASK}\n{MASK}\n  {MASK}"


def test_a_secret_that_is_no_text_is_masked_too() -> None:
    assert knows("S3CR3T\udcff").redact("a S3CR3T\udcff b") == f"a {MASK} b"


def test_a_short_secret_is_masked_only_where_it_stands_alone() -> None:
    assert knows("ab").redact("ab cab ab: table") == f"{MASK} cab {MASK}: table"
    assert knows("").redact("nothing") == "nothing"


def test_words_that_are_said_anyway_stay() -> None:
    redactor = Redactor(spoken=["acme"])
    redactor.add("acme")
    redactor.add("other")
    assert redactor.redact("source acme: other") == f"source acme: {MASK}"


def test_a_longer_secret_goes_first() -> None:
    assert knows("secret", "secret-and-more").redact("secret-and-more secret") == f"{MASK} {MASK}"


def test_json_values() -> None:
    assert knows("S3CR3T").json({"S3CR3T": ["a S3CR3T", 1, None, {"b": "S3CR3T"}]}) == {
        MASK: [f"a {MASK}", 1, None, {"b": MASK}]
    }


def test_log_records_are_redacted_with_their_traceback_and_stay_on_one_line() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter(knows("S3CR3T")))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    try:
        raise ValueError("no S3CR3T here")
    except ValueError:
        logger.exception("row %s of %s", "x\nERROR forged \x1b[31m", "S3CR3T", stack_info=True)
    text = stream.getvalue()
    assert "S3CR3T" not in text
    assert text.startswith("row x\\nERROR forged \\x1b[31m of ***\nTraceback (most recent call last):\n")
    assert "ValueError: no *** here" in text


def test_control_characters_are_spelled_out() -> None:
    assert one_line("a\nb\r\x1b[2J\u2028\x9bü") == "a\\nb\\r\\x1b[2J\\u2028\\x9bü"
