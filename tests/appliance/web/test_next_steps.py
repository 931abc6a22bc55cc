"""What the terminal says to whoever has just started the box."""

from dataclasses import replace

from appliance.web.next_steps import describe_next_steps
from tests.appliance.web.conftest import facts_of
from tests.fakes.registry import Shop


async def test_a_box_on_its_own_ports_names_them_nowhere(shop: Shop) -> None:
    text = "\n".join(describe_next_steps(facts_of(shop, {})))
    assert "http://10.0.0.5/\n" in text
    assert "ollama pull --insecure 10.0.0.5/library/llama3.2" in text
    assert "dig @10.0.0.5 registry.ollama.ai" in text
    assert "HTTPS_PROXY=http://10.0.0.5:3128 " in text
    assert "SHA256 AB:CD" in text
    assert "as root" not in text


async def test_other_ports_are_named_and_their_limits_said(shop: Shop) -> None:
    facts = replace(facts_of(shop, {}), web_port=8080, dns_port=10053, tls_port=8443)
    text = "\n".join(describe_next_steps(facts))
    assert "http://10.0.0.5:8080/ca.pem" in text
    assert "dig @10.0.0.5 -p 10053" in text
    assert "as root" in text


async def test_a_box_without_dns_says_what_to_point_where(shop: Shop) -> None:
    lines = list(describe_next_steps(replace(facts_of(shop, {}), dns_port=None)))
    assert any("point registry.ollama.ai at 10.0.0.5" in line for line in lines)
    assert not any("dig" in line or "as root" in line for line in lines)


async def test_a_box_without_a_proxy_way_offers_none(shop: Shop) -> None:
    lines = describe_next_steps(replace(facts_of(shop, {}), proxy_port=None))
    assert not any("PROXY" in line for line in lines)


async def test_an_ipv6_address_stands_in_brackets_in_urls(shop: Shop) -> None:
    facts = replace(facts_of(shop, {}), addresses=lambda: ("2001:db8::5",))
    text = "\n".join(describe_next_steps(facts))
    assert "http://[2001:db8::5]/" in text
    assert "dig @2001:db8::5 " in text
    assert "HTTPS_PROXY=http://[2001:db8::5]:3128 " in text


async def test_a_machine_without_an_address_is_told_which_key_to_set(shop: Shop) -> None:
    (line,) = describe_next_steps(replace(facts_of(shop, {}), addresses=tuple))
    assert "box.address" in line
