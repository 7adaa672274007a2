"""The harness itself: an undisturbed run pleases the oracle, and a wrong table does not."""

from __future__ import annotations

import pytest
from harness import oracle, places
from harness.ledger import stream_of


def test_an_undisturbed_run_pleases_the_oracle(wherry, ledger, place, mode):
    half = ledger.end // 2
    first = wherry.sync(ledger, place, mode, "--set", f"until={half}")
    assert not oracle.told(first, 0)
    assert not oracle.holds(place, ledger, mode, half)
    assert not wherry.recovers(ledger, place, mode, until=(half, ledger.end))
    assert not oracle.bounded(wherry.ended[-1])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("delete from faults.items where id = 17", "V1 1 of"),
        ("insert into faults.items select * from faults.items where id = 17", "V2 1 rows"),
        ("update faults.items set payload = 'x' where id = 17", "V1 1 rows are there that should not be"),
        ("create table faults.items__gen7 (id int)", "V6 left behind: items__gen7"),
    ],
)
def test_a_wrong_table_does_not(wherry, ledger, postgres_place, change, complaint):
    wherry.sync(ledger, postgres_place, "merge")
    postgres_place.query(change)
    wrong = oracle.holds(postgres_place, ledger, "merge") + oracle.clean(postgres_place)
    assert any(complaint in said for said in wrong), wrong


def test_a_bookmark_that_is_ahead_is_seen(wherry, ledger, postgres_place):
    wherry.sync(ledger, postgres_place, "append")
    assert places.bookmarks(postgres_place)
    postgres_place.query("delete from faults.log where seq = 1000")
    assert "V3" in oracle.not_ahead(postgres_place, ledger, "append")[0]


def test_a_secret_is_found_in_each_form(tmp_path):
    secret = "S3CR3T-0123456789abcdef"
    for n, form in enumerate(oracle.forms(secret)):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "file").write_bytes(b"xx" + form + b"yy")
        assert oracle.silent(secret, [], [folder])
    assert stream_of("append") == "log"
