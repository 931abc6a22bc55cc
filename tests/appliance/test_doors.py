"""The doors as they are wired, and what they tell of the box."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from mitmproxy.proxy.layers.http import HttpStream

from appliance.doors import read_gauges
from appliance.policy.turnstile import Turnstile
from appliance.startup import start
from appliance.web.metrics import GAUGES
from tests.appliance.boxes import make_config
from tests.fakes.wire import dial


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


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
    monkeypatch.setattr(HttpStream, "state_consume_request_body", None)
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
