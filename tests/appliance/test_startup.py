"""Starting: in order, with what can be had, or not at all and with a hint."""

import os
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from mitmproxy.proxy.layers.http import HttpStream

from appliance import startup
from appliance.certs import AuthorityDamagedError, AuthorityNamesError
from appliance.config import Config
from appliance.dns.responder import DnsUnavailableError
from appliance.listeners import PortUnavailableError
from appliance.policy.turnstile import Turnstile
from appliance.private_files import SecretDamagedError
from appliance.startup import START_FAULTS, Box, StateUnusableError, read_gauges, start
from appliance.store.faults import StoreLockedError, StoreUnmarkedError
from appliance.store.store import open_store
from appliance.upstream.builtin import BuiltinSource
from appliance.web.metrics import GAUGES
from tests.appliance.boxes import free_port, make_config, taken_port
from tests.appliance.store.samples import store_blob
from tests.fakes.wire import dial


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def fallbacks(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Ports to fall back to that are this test's own."""
    dns, tls = free_port(), free_port()
    monkeypatch.setattr(startup, "DNS_PORT_FALLBACK", dns)
    monkeypatch.setattr(startup, "TLS_PORT_FALLBACK", tls)
    return dns, tls


def as_default(config: Config, section: str, key: str) -> Config:
    """The same value, as if nobody had set it."""
    settings = {each: value for each, value in config.settings.items() if each != (section, key)}
    return replace(config, settings=settings)


async def started(config: Config, said: list[str]) -> tuple[int, ...]:
    """Start a box and stop it; its DNS, TLS and web ports."""
    async with AsyncExitStack() as stack:
        box = await start(stack, config, said.append)
        dns = box.engine.responder.listening[0][1] if box.engine.responder else 0
        return (dns, box.ground.tls.port, *(each.port for each in box.ground.web))


async def fault_of(config: Config) -> Exception:
    """What keeps a box from starting; whatever it is, nothing is left behind."""
    with pytest.raises(START_FAULTS) as caught:
        await started(config, [])
    fault: Exception = caught.value
    assert fault.hint  # type: ignore[attr-defined]
    return fault


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


async def test_of_the_default_web_ports_those_that_can_be_had_are_taken(
    state: Path, said: list[str]
) -> None:
    free = free_port()
    async with taken_port() as taken:
        config = as_default(make_config(state, WEB_PORTS=f"{taken},{free}"), "web", "ports")
        assert (await started(config, said))[2:] == (free,)
    (note,) = said
    assert note.endswith(f"http is on {free} only")


async def test_a_default_proxy_port_that_cannot_be_had_is_done_without_and_said(
    state: Path, said: list[str]
) -> None:
    async with taken_port() as taken, AsyncExitStack() as stack:
        config = as_default(make_config(state, PROXY_PORT=str(taken)), "proxy", "port")
        box = await start(stack, config, said.append)
        assert (box.ground.proxy, box.facts.proxy_port) == (None, None)
    (note,) = said
    assert note.startswith(f"note: port {taken} cannot be had")
    assert "no proxy way until proxy.port" in note


async def test_without_a_proxy_door_nothing_listens_for_it(state: Path, said: list[str]) -> None:
    async with AsyncExitStack() as stack:
        config = make_config(state, PROXY_ENABLED="false")
        box = await start(stack, config, said.append)
        assert box.facts.proxy_port is None
        with pytest.raises(ConnectionRefusedError):
            async with dial(config.proxy.port):
                pass


async def test_the_proxy_door_is_wired_to_list_and_rules(state: Path, said: list[str]) -> None:
    async with AsyncExitStack() as stack:
        config = make_config(state, PROXY_TUNNEL="models.example.com")
        await start(stack, config, said.append)
        for name, status in (("models.example.com", 502), ("ollama.com", 403)):
            async with dial(config.proxy.port) as wire:
                head = f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n"
                assert (await wire.ask(head.encode())).status == status


async def test_without_any_web_port_it_does_not_start(state: Path) -> None:
    async with taken_port() as one, taken_port() as other:
        config = as_default(make_config(state, WEB_PORTS=f"{one},{other}"), "web", "ports")
        fault = await fault_of(config)
    assert isinstance(fault, PortUnavailableError)
    assert "web.ports" in fault.hint


@pytest.mark.parametrize("key", ["tls.port", "proxy.port", "web.ports"])
async def test_a_port_that_was_chosen_is_had_or_it_is_an_error(state: Path, key: str) -> None:
    variable = key.replace(".", "_").upper()
    async with taken_port() as taken:
        fault = await fault_of(make_config(state, **{variable: str(taken)}))
    assert isinstance(fault, PortUnavailableError)
    assert fault.port == taken
    assert key in fault.hint
    with open_store(state):
        """The lock was let go."""


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


async def test_a_state_directory_in_use_is_refused_with_the_pid(state: Path) -> None:
    with open_store(state):
        fault = await fault_of(make_config(state))
    assert isinstance(fault, StoreLockedError)
    assert fault.pid == os.getpid()


async def test_a_state_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    fault = await fault_of(make_config(tmp_path / "file" / "state"))
    assert isinstance(fault, StateUnusableError)
    assert str(tmp_path / "file" / "state") in str(fault)
    assert "box.state_dir" in fault.hint


async def test_what_is_wrong_with_the_state_is_an_error_each(state: Path, said: list[str]) -> None:
    await started(make_config(state), said)
    other = await fault_of(make_config(state, ORIGIN_NAME="registry.example.com"))
    assert isinstance(other, AuthorityNamesError)
    secret = state / "secret"
    kept = secret.read_bytes()
    secret.write_bytes(b"short")
    assert isinstance(await fault_of(make_config(state)), SecretDamagedError)
    secret.write_bytes(kept)
    (state / "ca" / "ca.key").unlink()
    assert isinstance(await fault_of(make_config(state)), AuthorityDamagedError)
    (state / "marker").unlink()
    assert isinstance(await fault_of(make_config(state)), StoreUnmarkedError)


async def test_what_recovery_did_is_said(state: Path, said: list[str]) -> None:
    await started(make_config(state), said)
    with open_store(state) as store:
        store_blob(store, b"content")
        digest = store_blob(store, b"other").digest
    (state / "blobs" / "sha256" / digest.encoded[:2] / digest.encoded).unlink()
    await started(make_config(state), said)
    assert [line.partition(":")[0] for line in said] == ["recovery"]


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


async def test_what_it_tells_of_itself_is_so(state: Path, said: list[str]) -> None:
    config = make_config(state)
    async with AsyncExitStack() as stack:
        facts = (await start(stack, config, said.append)).facts
        assert facts.state_dir == str(state)
        assert facts.registry_name == "registry.ollama.ai"
        assert (facts.dns_port, facts.tls_port, facts.web_port) == (
            config.dns.port,
            config.tls.port,
            config.web.ports[0],
        )
        assert facts.addresses() == ("127.0.0.1",)
        assert facts.ca_pem == (state / "ca" / "ca.pem").read_bytes()


async def test_a_mitmproxy_that_cannot_send_bodies_costs_only_those(
    state: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpStream, "check_killed", None)
    async with AsyncExitStack() as stack:
        box = await start(stack, make_config(state), said.append)
        assert not box.engine.registry.blobs.can_send_inline
        check = box.checkup.checks()["inline"]
    assert (check.is_ok, "only by redirect" in check.detail) == (False, True)
    assert any(each == f"note: {check.detail}" for each in said)


async def test_the_roof_tells_every_gauge_that_metrics_show(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start(stack, make_config(tmp_path / "state"), lambda line: None)
        told = read_gauges(box, Turnstile(lambda _: False))
    assert told.keys() == GAUGES.keys()
    assert told["ca_not_after_timestamp_seconds"] > told["leaf_not_after_timestamp_seconds"] > 0
