"""The demo's Internet: names lead to the sites, and certificates are theirs."""

import asyncio
import sys
from pathlib import Path

import pytest

from appliance.demo.names import resolve
from appliance.demo.outside import CDN_NAME, REGISTRY_NAME, Outside, Sockets


async def test_its_names_lead_to_its_sites(outside: Outside) -> None:
    dns = outside.surroundings.dns
    for site in (outside.registry, outside.cdn):
        assert await asyncio.to_thread(resolve, dns, site.name) == [site.address]
    assert {outside.registry.name, outside.cdn.name} == {REGISTRY_NAME, CDN_NAME}


async def test_it_speaks_tls_unless_told_not_to(outside: Outside, plain: Outside) -> None:
    assert outside.registry.url.startswith("https://registry.ollama.ai:")
    assert plain.registry.url.startswith("http://registry.ollama.ai:")


async def test_it_listens_where_it_is_told_to(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere loopback has one address")
    sockets = Sockets(cdn=("127.0.0.2", 0))
    async with Outside(tmp_path, lambda: 0.0, sockets=sockets) as outside:
        dns = outside.surroundings.dns
        assert await asyncio.to_thread(resolve, dns, CDN_NAME) == ["127.0.0.2"]
        assert outside.cdn.address == "127.0.0.2"
