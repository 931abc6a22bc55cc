"""The door watch, on real doors that open, refuse, keep silent, say no, and open again."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import doorwatch
from appliance.certs import Authority, open_authority
from appliance.demo.ports import choose_port
from appliance.doorwatch import (
    Door,
    DoorWatch,
    Ring,
    connect_head,
    head_ringer,
    places_of,
    tls_ringer,
)
from appliance.listeners import open_listener
from tests.appliance.boxes import LOOPBACK

NAME = "registry.ollama.ai"
HEAD = b"HEAD / HTTP/1.1\r\n\r\n"

type Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("doors") / "ca"
    return open_authority(directory, (NAME,), now=datetime.now(UTC))


@asynccontextmanager
async def door_that(
    answer: Answer, port: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    server = await asyncio.start_server(answer, LOOPBACK, port, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(words: bytes) -> Answer:
    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()

    return answer


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the client has gone."""
    with suppress(OSError):
        await reader.read()
    writer.close()


def serving(authority: Authority, directory: Path, names: tuple[str, ...]) -> ssl.SSLContext:
    pem = directory / "leaf.pem"
    pem.write_bytes(authority.issue(names, now=datetime.now(UTC)).pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def watch(port: int, ring: Ring, *more: int) -> DoorWatch:
    return DoorWatch(
        [Door("web", "it is shut", ((LOOPBACK, port), *((LOOPBACK, p) for p in more)), ring)]
    )


def told(found: DoorWatch) -> dict[str, str]:
    assert not any(each.is_ok for each in found.closed().values())
    return {part: each.detail for part, each in found.closed().items()}


async def test_a_door_that_opens_is_not_told() -> None:
    async with door_that(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        found = watch(port, head_ringer(HEAD))
        assert not await found.ring()
    assert told(found) == {}
    assert found.parts == {"web"}


async def test_a_door_that_closes_and_opens_again_is_told_both_times() -> None:
    port = choose_port()
    found = watch(port, head_ringer(HEAD))
    assert await found.ring()
    assert told(found)["web"].startswith(f"it is shut: {LOOPBACK}:{port}: ")
    assert not await found.ring()  # Nothing new.
    async with door_that(saying(b"HTTP/1.1 200 OK\r\n\r\n"), port):
        assert await found.ring()
    assert told(found) == {}


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "it answers 'HTTP/1.1 503 Service Unavailable'",
        ),
        (b"", "it hangs up"),
        (b"\xff\xff", "it answers"),
    ],
)
async def test_another_answer_is_no_opening(words: bytes, what: str) -> None:
    async with door_that(saying(words)) as port:
        found = watch(port, head_ringer(HEAD))
        await found.ring()
    assert what in told(found)["web"]


@pytest.mark.parametrize("is_tls", [False, True])
async def test_silence_is_waited_for_a_moment_only(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, *, is_tls: bool
) -> None:
    monkeypatch.setattr(doorwatch, "RING_SECONDS_MAX", 0.05)
    ring = tls_ringer(NAME, authority.certificate_pem.decode()) if is_tls else head_ringer(HEAD)
    async with door_that(silent) as port:
        found = watch(port, ring)
        await found.ring()
    assert told(found) == {"web": f"it is shut: nothing comes from {LOOPBACK}:{port}"}


async def test_a_door_that_answers_others_meanwhile_is_busy_and_not_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doorwatch, "RING_SECONDS_MAX", 0.05)
    answers = iter([0, 1, 1, 1])  # Before and after each of two rounds: the second is silent.
    async with door_that(silent) as port:
        place = (LOOPBACK, port)
        door = Door("web", "it is shut", (place,), head_ringer(HEAD), lambda: next(answers))
        found = DoorWatch([door])
        assert not await found.ring()
        assert await found.ring()
    assert "nothing comes" in told(found)["web"]


async def test_a_refusal_is_one_whomever_the_door_answers_meanwhile() -> None:
    answers = iter([0, 1])
    place = (LOOPBACK, choose_port())
    door = Door("web", "it is shut", (place,), head_ringer(HEAD), lambda: next(answers))
    assert await DoorWatch([door]).ring()


async def test_one_closed_socket_of_two_is_enough() -> None:
    async with door_that(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        found = watch(port, head_ringer(HEAD), choose_port())
        assert await found.ring()


async def test_what_else_stands_in_the_way_is_asked_each_time() -> None:
    reason = [""]
    found = DoorWatch([], {"index": lambda: reason[0]})
    assert not await found.ring()
    reason[0] = "the disk is gone"
    assert await found.ring()
    assert told(found) == {"index": "the disk is gone"}


async def test_tls_of_ours_opens(authority: Authority, tmp_path: Path) -> None:
    async with door_that(silent, context=serving(authority, tmp_path, (NAME,))) as port:
        found = watch(port, tls_ringer(NAME, authority.certificate_pem.decode()))
        await found.ring()
    assert told(found) == {}


async def test_tls_of_another_ca_does_not(authority: Authority, tmp_path: Path) -> None:
    other = open_authority(tmp_path / "other", (NAME,), now=datetime.now(UTC))
    async with door_that(silent, context=serving(other, tmp_path, (NAME,))) as port:
        found = watch(port, tls_ringer(NAME, authority.certificate_pem.decode()))
        await found.ring()
    assert "certificate" in told(found)["web"].lower()


def test_a_wildcard_is_dialled_by_loopback() -> None:
    listener = open_listener(("0.0.0.0",), 0, key="tls.port")
    (place,) = places_of(listener.sockets)
    listener.close()
    assert place[0] == LOOPBACK
    assert place[1]


def test_the_watch_is_quick_enough_for_dns_to_fail_open_in_two_seconds() -> None:
    assert doorwatch.RING_SECONDS + doorwatch.RING_SECONDS_MAX < 2.0


def test_a_connect_names_what_it_wants_twice() -> None:
    assert connect_head(NAME) == (
        b"CONNECT registry.ollama.ai:443 HTTP/1.1\r\nHost: registry.ollama.ai:443\r\n\r\n"
    )
