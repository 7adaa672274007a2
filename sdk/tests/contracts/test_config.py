import pytest

from wherry import public


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("postgresql://ana:secret@host:1/db?sslmode=require", "postgresql://ana@host:1/db?sslmode=require"),
        ("postgresql://ana:se/cr@et@host/db", "postgresql://ana@host/db"),
        ("mysql://host/db?password=secret&a=b", "mysql://host/db?a=b"),
        ("mysql://host/db?password=secret", "mysql://host/db"),
        ("mysql://ana@host/db", "mysql://ana@host/db"),
        ("./data/*.csv", "./data/*.csv"),
    ],
)
def test_a_reference_is_shown_without_its_password(typed, shown):
    assert public(typed) == shown
