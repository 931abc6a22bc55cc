"""The demo's Internet: names lead to the sites, and certificates are theirs."""

import asyncio

from appliance.demo.names import resolve
from appliance.demo.outside import CDN_NAME, REGISTRY_NAME, Outside


async def test_its_names_lead_to_its_sites(outside: Outside) -> None:
    dns = outside.surroundings.dns
    for site in (outside.registry, outside.cdn):
        assert await asyncio.to_thread(resolve, dns, site.name) == [site.address]
    assert {outside.registry.name, outside.cdn.name} == {REGISTRY_NAME, CDN_NAME}


async def test_it_speaks_tls_unless_told_not_to(outside: Outside, plain: Outside) -> None:
    assert outside.registry.url.startswith("https://registry.ollama.ai:")
    assert plain.registry.url.startswith("http://registry.ollama.ai:")
