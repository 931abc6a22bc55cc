"""What to do next, with this box's real addresses: for the terminal that starts it."""

from collections.abc import Iterator

from appliance.protocol.fields import format_authority
from appliance.web.facts import Facts

_EXAMPLE = "llama3.2"


def describe_next_steps(facts: Facts) -> Iterator[str]:
    """Lines for a person who has just started the box."""
    addresses = facts.addresses()
    if not addresses:
        yield "this machine has no address on a network: set box.address to what clients dial"
        return
    authority = format_authority(addresses[0], facts.web_port, default_port=80)
    yield f"the page:      http://{authority}/"
    yield f"try it:        ollama pull --insecure {authority}/library/{_EXAMPLE}"
    if facts.dns_port is None:
        yield f"your DNS:      point {facts.registry_name} at {addresses[0]}"
    else:
        port = "" if facts.dns_port == 53 else f" -p {facts.dns_port}"
        yield f"ask its DNS:   dig @{addresses[0]}{port} {facts.registry_name}"
    if facts.proxy_port is not None:
        proxy = format_authority(addresses[0], facts.proxy_port, default_port=80)
        yield f"as a proxy:    HTTPS_PROXY=http://{proxy} for an Ollama server that trusts its CA"
    yield f"trust its CA:  http://{authority}/ca.pem"
    yield f"               SHA256 {facts.ca_fingerprint}"
    if facts.dns_port not in (None, 53) or facts.tls_port != 443:
        yield (
            "a network uses it on ports 53, 80 and 443 only: run it as root or as the service "
            "before you point DNS at it"
        )
