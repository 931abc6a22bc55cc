"""What goes wrong on the way to the origin is said in our own words, and never with its URL."""

import aiohttp
import pytest
from yarl import URL

from appliance.policy.addresses import AddressRefusedError
from appliance.upstream.resolver import NameUnresolvableError
from appliance.upstream.troubles import TROUBLE, describe_trouble, is_misdated

SIGNED = "https://cdn.test/blob?X-Amz-Signature=secret"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NameUnresolvableError("cdn.test", "set dns.upstream"), "no address is known for cdn.test"),
        (aiohttp.InvalidURL(SIGNED), "the connection to the origin failed: InvalidURL"),
        (ValueError(SIGNED), "the connection to the origin failed: ValueError"),
        (aiohttp.ServerDisconnectedError(), "failed: ServerDisconnectedError"),
        (TimeoutError(), "the origin does not answer in time"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_it_is_said_without_the_url(error: Exception, told: str) -> None:
    assert isinstance(error, TROUBLE)
    trouble = describe_trouble(error)
    assert told in str(trouble)
    assert "secret" not in str(trouble)
    assert not is_misdated(error)


def test_a_proxy_that_refuses_is_named_with_its_setting() -> None:
    info = aiohttp.RequestInfo(URL(SIGNED), "CONNECT", {}, URL(SIGNED))  # type: ignore[arg-type]
    trouble = describe_trouble(aiohttp.ClientHttpProxyError(info, (), status=407))
    assert (str(trouble), "origin.proxy" in trouble.hint) == (
        "the proxy answers 407 instead of connecting",
        True,
    )


def test_an_address_that_is_refused_keeps_its_hint() -> None:
    refused = AddressRefusedError("10.0.0.1", "private", "set origin.allow_private")
    assert describe_trouble(refused).hint == refused.hint
