import pytest
from wherry import Source, public


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("shop://ana:secret@host:1/db?sslmode=require", "shop://ana@host:1/db?sslmode=require"),
        ("shop://ana:se/cr@et@host/db", "shop://ana@host/db"),
        ("shop://host/db?password=secret&a=b", "shop://host/db?a=b"),
        ("shop://host/db?password=secret", "shop://host/db"),
        ("shop://ana@host/db", "shop://ana@host/db"),
        ("./data/*.csv", "./data/*.csv"),
    ],
)
def test_a_reference_is_shown_without_its_password(typed, shown):
    assert public(typed) == shown


class BillingSource(Source):
    def discover(self, only=("*",)):
        return ()

    def read(self, split):
        yield from ()


def test_a_source_that_takes_no_reference_is_named_after_its_class():
    assert BillingSource(BillingSource.Config()).identity() == ("Billing", "Billing")
