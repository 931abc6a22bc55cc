"""The DNS process as the box sees it: real processes, and real accidents."""

import asyncio
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.dns import responder as responder_module
from appliance.dns.responder import DnsResponder, DnsUnavailableError
from appliance.dns.settings import Settings, format_settings
from tests.appliance.dns.nameserver import NameServer, zone
from tests.appliance.dns.questions import REGISTRY, by_udp, gives, packet, records, until_true

BOX, TRUTH = "192.0.2.7", "104.21.75.227"
ZONE = zone(f"www.lan 300 A 10.0.0.80\n{REGISTRY} 300 A 104.21.75.99")
ROOT = Path(__file__).parents[3]

PARENT = """
import asyncio, json, sys
from appliance.dns.responder import DnsResponder
from appliance.dns.settings import parse_settings

async def main():
    async with DnsResponder(parse_settings(sys.stdin.readline().encode())) as responder:
        print(responder.pid, responder.listening[0][1], flush=True)
        while True:
            responder.beat(is_healthy=True, truth=["104.21.75.227"])
            await asyncio.sleep(0.2)

asyncio.run(main())
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        str(tmp_path),
        0,
        (REGISTRY,),
        "ollama-blobs.home.arpa",
        listen=("127.0.0.1",),
        box_address=BOX,
    )


async def until(
    answer: list[str], at: tuple[str, int], name: str = REGISTRY, source: str = ""
) -> None:
    """Ask, from the address `source`, until the answer is this one."""
    await until_true(lambda: gives(answer, at, name, source))


async def test_it_answers_with_the_box_while_the_box_says_it_is_well(settings: Settings) -> None:
    async with NameServer(ZONE) as upstream:
        async with DnsResponder(replace(settings, upstream=(upstream.at,))) as responder:
            (at,) = responder.listening
            assert responder.is_alive
            assert responder.skipped == ()
            responder.beat(is_healthy=True, truth=[TRUTH])
            await until([BOX], at)
            assert records(await by_udp(at, packet("www.lan"))) == ["10.0.0.80"]
            responder.beat(is_healthy=False, truth=[TRUTH])
            await until([TRUTH], at)
            responder.beat(is_healthy=True, truth=[TRUTH])
            await until([BOX], at)
        assert not responder.is_alive
        assert responder.pid is None


async def test_a_client_led_to_the_box_is_known_to_the_box(settings: Settings) -> None:
    known: list[str] = []

    async def has_come() -> bool:
        return bool(known)

    async with DnsResponder(replace(settings, listen=("127.0.0.5",)), known.append) as responder:
        (at,) = responder.listening
        responder.beat(is_healthy=True, truth=[])
        await until([BOX], at, source="127.0.0.1")
        assert known == []  # The box's own question.
        await until([BOX], at, source="127.0.0.6")
        await until_true(has_come)
    assert known == ["127.0.0.6"]


async def test_a_box_that_falls_silent_has_its_dns_fail_open(settings: Settings) -> None:
    async with (
        NameServer(ZONE) as upstream,
        DnsResponder(replace(settings, upstream=(upstream.at,))) as responder,
    ):
        (at,) = responder.listening
        responder.beat(is_healthy=True, truth=[TRUTH])
        await until([BOX], at)
        await until([TRUTH], at)  # No beat comes any more.
        assert records(await by_udp(at, packet("www.lan"))) == ["10.0.0.80"]


async def test_without_any_truth_the_lan_s_resolver_is_asked_for_it(settings: Settings) -> None:
    async with (
        NameServer(ZONE) as upstream,
        DnsResponder(replace(settings, upstream=(upstream.at,))) as responder,
    ):
        await until(["104.21.75.99"], responder.listening[0])


async def test_a_killed_box_leaves_its_dns_open_until_the_next_takes_over(
    settings: Settings,
) -> None:
    async with NameServer(ZONE) as upstream:
        settings = replace(settings, upstream=(upstream.at,))
        parent, orphan, at = await start_parent(settings)
        try:
            await until([BOX], at)
            parent.kill()
            await parent.wait()
            await until([TRUTH], at)
            assert records(await by_udp(at, packet("www.lan"))) == ["10.0.0.80"]
            os.kill(orphan, signal.SIGINT)  # What a terminal sends to the whole group.
            assert records(await by_udp(at, packet("www.lan"))) == ["10.0.0.80"]
            async with DnsResponder(replace(settings, port=at[1])) as heir:
                heir.beat(is_healthy=True, truth=[TRUTH])
                await until([BOX], at)
                assert heir.pid != orphan
                assert (Path(settings.state_dir) / "dns.lock").read_text() == str(heir.pid)
        finally:
            end(orphan)


async def start_parent(
    settings: Settings,
) -> tuple[asyncio.subprocess.Process, int, tuple[str, int]]:
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdin=pipe, stdout=pipe, cwd=ROOT
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write(format_settings(settings))
    pid, port = (await parent.stdout.readline()).split()
    return parent, int(pid), ("127.0.0.1", int(port))


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def test_one_that_dies_is_started_again_on_its_port(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder_module, "RESTART_SECONDS_MIN", 0.01)
    async with DnsResponder(settings) as responder:
        (at,) = responder.listening
        first = responder.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)

        async def is_answering() -> bool:
            responder.beat(is_healthy=True, truth=[])
            return responder.pid not in (None, first) and await gives([BOX], at, REGISTRY)

        await until_true(is_answering)
        assert responder.listening == (at,)
        assert responder.fault is None


async def test_one_that_cannot_be_started_again_says_why_and_is_tried_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder_module, "RESTART_SECONDS_MIN", 0.01)
    monkeypatch.setattr(responder_module, "RESTART_SECONDS_MAX", 0.01)
    monkeypatch.setattr(responder_module, "STEADY_SECONDS", 0.0)
    async with DnsResponder(settings) as responder:
        (at,) = responder.listening
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            assert responder.pid is not None
            os.kill(responder.pid, signal.SIGKILL)
            await until_true(lambda: takes(thief, at))
            await until_true(lambda: has_fault(responder))
            assert responder.fault is not None
            assert "dns.port" in responder.fault.hint
            assert not responder.is_alive
            responder.beat(is_healthy=True, truth=[])
        await until([], at, "resolver.arpa")


async def takes(thief: socket.socket, at: tuple[str, int]) -> bool:
    try:
        thief.bind(at)
    except OSError:
        return False
    return True


async def has_fault(responder: DnsResponder) -> bool:
    return responder.fault is not None


async def test_what_is_taken_or_missing_is_told(settings: Settings) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        wanted = replace(settings, port=port, listen=("127.0.0.1", "127.0.0.2"))
        async with DnsResponder(wanted) as responder:
            assert responder.listening == (("127.0.0.2", port),)
            ((address, reason),) = responder.skipped
            assert address == "127.0.0.1"
            assert "in use" in reason


async def test_a_server_that_is_the_box_itself_is_not_asked(settings: Settings) -> None:
    async with DnsResponder(settings) as responder:
        (at,) = responder.listening
    async with DnsResponder(replace(settings, port=at[1], upstream=(at,))) as responder:
        assert records(await by_udp(at, packet("www.lan"))) == ["rcode 2"]
        ((_, reason),) = responder.skipped
        assert "dns.upstream" in reason


@pytest.mark.parametrize(
    ("change", "reason", "hint"),
    [
        ({"listen": ("192.0.2.99",)}, "192.0.2.99", "box.listen"),
        ({"state_dir": "/nonexistent/state"}, "No such file", "box.state_dir"),
        ({"allow": ("home",)}, "home", "run the box"),
    ],
)
async def test_one_that_cannot_begin_says_why(
    settings: Settings, change: dict[str, object], reason: str, hint: str
) -> None:
    with pytest.raises(DnsUnavailableError) as caught:
        async with DnsResponder(replace(settings, **change)):  # type: ignore[arg-type]
            raise AssertionError
    assert reason in caught.value.reason
    assert hint in caught.value.hint


async def test_one_that_dies_at_once_is_unavailable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(DnsUnavailableError, match="ended at once"):
        async with DnsResponder(settings):
            raise AssertionError


def script(path: Path, text: str) -> str:
    """A program that stands in for Python."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


async def test_one_that_says_nothing_is_unavailable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", script(tmp_path / "mute", "exec sleep 60"))
    monkeypatch.setattr(responder_module, "START_SECONDS", 0.1)
    with pytest.raises(DnsUnavailableError, match="silent"):
        async with DnsResponder(settings):
            raise AssertionError


async def test_where_it_listens_follows_what_it_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reports = (
        """echo '{"listening": [["127.0.0.1", 1053]]}'; echo what; echo '{"error": "none"}'; """
        """echo '{"listening": [["127.0.0.2", 1053]], "skipped": [["127.0.0.1", "gone"]]}'; """
    )
    monkeypatch.setattr(sys, "executable", script(tmp_path / "busy", f"{reports} exec sleep 60"))
    monkeypatch.setattr(responder_module, "STOP_SECONDS", 0.1)
    async with DnsResponder(settings) as responder:

        async def has_moved() -> bool:
            return responder.listening == (("127.0.0.2", 1053),)

        await until_true(has_moved)
        assert responder.skipped == (("127.0.0.1", "gone"),)


async def test_one_that_hangs_is_killed_in_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder_module, "STOP_SECONDS", 0.1)
    async with DnsResponder(settings) as responder:
        pid = responder.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        for _ in range(4000):  # More than a pipe and our own bound hold: beats are dropped.
            responder.beat(is_healthy=True, truth=[TRUTH] * 4)
    assert not responder.is_alive


async def test_an_error_of_the_one_inside_comes_out_as_it_is(settings: Settings) -> None:
    with pytest.raises(KeyError):
        async with DnsResponder(settings):
            raise KeyError
