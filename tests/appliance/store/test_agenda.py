"""The agenda is a part of the ledger, and outlives the store that it was written to."""

from pathlib import Path

from appliance.protocol.reference import parse_model_name
from appliance.store.store import open_store

TINY = parse_model_name("tiny")


def test_wishes_and_a_pause_are_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.agenda.wish(TINY, 7.9)
        store.agenda.wish(parse_model_name("other"), 3.0)
        store.agenda.pause(is_paused=True)
    with open_store(tmp_path) as store:
        assert store.agenda.is_paused
        assert store.agenda.wishes() == ["library/other:latest", "library/tiny:latest"]
        store.agenda.pause(is_paused=False)
        store.agenda.unwish(TINY)
    with open_store(tmp_path) as store:
        assert not store.agenda.is_paused
        assert store.agenda.wishes() == ["library/other:latest"]
