"""Who pulls what, as scripts read it."""

import pytest

from appliance.cache.session import Session
from appliance.protocol.digest import digest_of
from appliance.protocol.reference import Reference, Repository
from appliance.web.sessions import describe_session, format_duration, name_model
from tests.appliance.web.conftest import Door
from tests.fakes.registry import NOON

LAYER = b"a" * 1500
KNOWN = {
    *("client_ip", "model", "start_time", "duration"),
    *("bytes_served", "files_served", "total_files", "progress_percent"),
}
OURS = {"speed_bps", "eta_seconds", "source", "state"}


def of(reference: Reference | None, repository: Repository) -> Session:
    return Session("10.0.0.9", repository, reference, {}, NOON, 0.0)


@pytest.mark.parametrize(
    ("session", "name"),
    [
        (of(Reference(tiny := Repository("library", "tiny"), "latest"), tiny), "tiny:latest"),
        (of(Reference(me := Repository("me", "x"), "1b"), me), "me/x:1b"),
        (of(Reference(me, digest_of(b"m")), me), f"me/x@{digest_of(b'm')}"),
        (of(None, tiny), "tiny"),
    ],
)
def test_a_model_has_its_tag_where_it_is_known(session: Session, name: str) -> None:
    assert name_model(session) == name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (59.4, "59s"), (60, "1m0s"), (3600, "1h0m0s"), (3725, "1h2m5s")],
)
def test_durations_are_written_as_scripts_know_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_no_address_is_told_where_none_may_be() -> None:
    session = of(None, Repository("library", "tiny"))
    told = describe_session(session, now=NOON + 3, names_clients=False)
    assert (told["client_ip"], told["duration_seconds"]) == ("a machine", 3.0)


async def test_nobody_pulls(door: Door) -> None:
    told = await door.document("/api/sessions")
    assert told == {
        "active_sessions": [],
        "total_sessions": 0,
        "recent_sessions": [],
        "sessions_since_start": 0,
    }


async def test_a_pull_under_way_is_told_to_the_byte(door: Door) -> None:
    door.shop.source.publish("tiny:1b", LAYER)
    assert (await door.ask("/v2/library/tiny/manifests/1b")).status == 200
    door.shop.source.gate.clear()
    async with door.dial() as wire:
        wire.send(f"GET {door.shop.grant('tiny', LAYER)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await wire.reader.readuntil(b"\r\n\r\n")
        told = await door.document("/api/sessions")
        (session,) = told["active_sessions"]
        assert told["total_sessions"] == 1
        assert set(session) >= KNOWN | OURS
        assert (session["client_ip"], session["model"]) == ("127.0.0.1", "tiny:1b")
        assert (session["bytes_served"], session["total_files"]) == (0, 1)
        assert (session["source"], session["state"]) == ("internet", "active")
        door.shop.source.gate.set()
        assert await wire.reader.readexactly(len(LAYER)) == LAYER
    while any(not each.files_served for each in door.shop.cache.sessions.active):
        await door.ask("/health")  # The client may have its last byte before it is counted.
    door.shop.cache.sessions.look()
    (over,) = (await door.document("/api/sessions"))["recent_sessions"]
    assert (over["bytes_served"], over["files_served"]) == (len(LAYER), 1)
    assert (over["progress_percent"], over["state"]) == (100.0, "done")
