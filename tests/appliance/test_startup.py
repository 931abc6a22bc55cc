"""Starting: in order, with what can be had, or not at all and with a hint."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from appliance import ground, startup
from appliance.box import Box
from appliance.demo.ports import choose_port
from appliance.dns.responder import DnsUnavailableError
from appliance.startup import start
from appliance.store.store import open_store
from appliance.upstream.builtin import BuiltinSource
from tests.appliance.boxes import make_config, taken_port
from tests.appliance.starting import as_default, fault_of, started


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def fallbacks(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Ports to fall back to that are this test's own."""
    dns, tls = choose_port(), choose_port()
    monkeypatch.setattr(startup, "DNS_PORT_FALLBACK", dns)
    monkeypatch.setattr(ground, "TLS_PORT_FALLBACK", tls)
    return dns, tls


async def test_it_starts_where_it_is_told(state: Path, said: list[str]) -> None:
    config = make_config(state)
    ports = (config.dns.port, config.tls.port, *config.web.ports)
    assert await started(config, said) == ports
    assert await started(config, said) == ports
    assert said == []


async def test_ports_that_nobody_chose_fall_back_and_are_said(
    state: Path, said: list[str], fallbacks: tuple[int, int]
) -> None:
    async with taken_port() as taken, taken_port() as other:
        config = make_config(state, DNS_PORT=str(other), TLS_PORT=str(taken))
        config = as_default(as_default(config, "dns", "port"), "tls", "port")
        assert (await started(config, said))[:2] == fallbacks
    assert f"note: port {taken} cannot be had: Address already in use" in said[0]
    assert f"https is on {fallbacks[1]} instead" in said[0]
    assert said[1].endswith(f"DNS is on {fallbacks[0]}")


async def test_a_dns_port_that_was_chosen_is_had_or_it_is_an_error(state: Path) -> None:
    async with taken_port() as taken:
        fault = await fault_of(make_config(state, DNS_PORT=str(taken)))
    assert isinstance(fault, DnsUnavailableError)
    assert "in use" in fault.reason
    with open_store(state):
        """The lock was let go."""


async def test_both_dns_ports_taken_is_an_error(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with taken_port() as taken:
        monkeypatch.setattr(startup, "DNS_PORT_FALLBACK", taken)
        config = as_default(make_config(state, DNS_PORT=str(taken)), "dns", "port")
        assert isinstance(await fault_of(config), DnsUnavailableError)


async def test_the_first_self_pull_of_every_life_is_a_miss(state: Path, said: list[str]) -> None:
    for _ in range(2):
        async with AsyncExitStack() as stack:
            box: Box = await start(stack, make_config(state), said.append)
            for digest in BuiltinSource().digests:
                assert box.ground.store.find_blob(digest) is None
            await box.checkup.self_pull.run_at(box.checkup.self_pull.address)
            for digest in BuiltinSource().digests:
                assert box.ground.store.find_blob(digest) is not None


async def test_without_dns_no_process_is_started(state: Path, said: list[str]) -> None:
    async with AsyncExitStack() as stack:
        box = await start(stack, make_config(state, DNS_ENABLED="false"), said.append)
        assert box.engine.responder is None
        assert box.facts.dns_port is None
        assert box.truth() == ()
