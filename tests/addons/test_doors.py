"""By which door a client came, from its mode and back."""

import pytest
from mitmproxy.connection import Client
from mitmproxy.proxy.mode_specs import ProxyMode

from addons.doors import format_mode, read_connected, read_door
from appliance.policy.delivery import Door

PEER, SOCK = ("10.0.0.7", 50000), ("10.0.0.5", 3128)


def client(mode: str) -> Client:
    return Client(peername=PEER, sockname=SOCK, proxy_mode=ProxyMode.parse(mode))


def test_the_tls_door_is_https_and_nobody_s_connect() -> None:
    came = client(format_mode())
    assert (read_door(came), read_connected(came)) == (Door.HTTPS, None)


@pytest.mark.parametrize("name", ["registry.ollama.ai", "ollama-blobs.home.arpa", "a.invalid"])
def test_the_proxy_door_remembers_the_name_that_connect_said(name: str) -> None:
    came = client(format_mode(name))
    assert (read_door(came), read_connected(came)) == (Door.PROXY, name)


@pytest.mark.parametrize("name", [None, "registry.ollama.ai"])
def test_no_mode_leads_anywhere_by_itself(name: str | None) -> None:
    assert format_mode(name).endswith(".invalid")
