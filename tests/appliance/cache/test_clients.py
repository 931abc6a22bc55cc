"""Clients' accounts: nothing is lost on the way to the ledger, or nothing is noted at all."""

import pytest

from appliance.cache.clients import ClientAccounts, Counts

BOB = "192.168.1.20"


def test_what_each_client_was_given_is_written_once() -> None:
    accounts, written = ClientAccounts(is_kept=True), list[Counts]()
    accounts.note_pull(BOB)
    accounts.note_served(BOB, 5)
    accounts.note_served(BOB, 7)
    accounts.save(written.append)
    accounts.save(written.append)
    assert written == [{BOB: {"pulls": 1, "served_bytes": 12}}]


def test_what_cannot_be_written_is_kept() -> None:
    accounts, written = ClientAccounts(is_kept=True), list[Counts]()
    accounts.note_served(BOB, 5)

    def fail(counts: Counts) -> None:
        accounts.note_served(BOB, 10)  # Counted while the ledger fails.
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        accounts.save(fail)
    accounts.save(written.append)
    assert written == [{BOB: {"served_bytes": 15}}]


def test_where_none_are_kept_no_address_is_remembered() -> None:
    accounts, written = ClientAccounts(is_kept=False), list[Counts]()
    accounts.note_pull(BOB)
    accounts.note_served(BOB, 5)
    accounts.save(written.append)
    assert written == []
    assert BOB not in repr(vars(accounts))
