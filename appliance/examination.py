"""Examines a running box from outside, as its clients meet it: one finding a line.

Theory of operation. Nothing here asks the box how it is: each step dials an address that clients
dial, the doors first, then DNS, then a whole pull of the built-in model with our CA alone. So it
finds what the box cannot see of itself: a firewall, an address that is not its own, another program
on its port. A step that fails does not keep the next ones from being tried.
"""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

from appliance.doorwatch import (
    RING_SECONDS_MAX,
    Door,
    Ring,
    connect_head,
    head_ringer,
    rung,
    tls_ringer,
)
from appliance.protocol.fields import format_authority
from appliance.self_pull import SHOWN, SelfPull, SelfPullError
from appliance.upstream.resolver import ask

LOG_LINE = "read its log: journalctl -u ollama-appliance -n 50"
_PAGE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_HINTS = {"index": "look for damage: ollama-appliance verify"}


@dataclass(frozen=True, slots=True)
class Examined:
    """The box as clients know it. `own` are the addresses that its DNS may lead to."""

    own: tuple[str, ...]
    dns_port: int | None
    web_port: int
    proxy_port: int | None
    pull: SelfPull

    @property
    def address(self) -> str:
        """Where it is dialled."""
        return self.pull.address


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found; `hint` is what to type where it is broken."""

    what: str
    is_ok: bool
    detail: str
    hint: str = ""


def well(what: str, detail: str) -> Finding:
    """What works."""
    return Finding(what, is_ok=True, detail=detail)


def broken(what: str, detail: str, hint: str) -> Finding:
    """What does not."""
    return Finding(what, is_ok=False, detail=detail, hint=hint)


async def examine(box: Examined) -> AsyncIterator[Finding]:
    """Every finding, in the order in which a client would come upon it."""
    if box.dns_port is not None:
        yield await _examine_dns(box, box.dns_port)
    for name in (box.pull.name, box.pull.blob_host):
        if name:
            ring = tls_ringer(name, box.pull.ca_pem)
            yield await _knock(box, f"tls {name}", box.pull.tls_port, ring, "a valid certificate")
    yield await _knock(box, "page", box.web_port, head_ringer(_PAGE), "it is served")
    if box.proxy_port is not None:
        hello = connect_head(box.pull.name)
        yield await _knock(box, "proxy", box.proxy_port, head_ringer(hello), "opens by CONNECT")
    async for finding in _examine_pull(box):
        yield finding


async def _examine_dns(box: Examined, port: int) -> Finding:
    name, at = box.pull.name, format_authority(box.address, port, default_port=0)
    try:
        found = await ask((box.address, port), name, "A", 2 * RING_SECONDS_MAX)
        found = found or await ask((box.address, port), name, "AAAA", 2 * RING_SECONDS_MAX)
    except OSError as error:
        hint = f"let UDP and TCP {port} in; is it another's? ss -lunp 'sport = :{port}'"
        told = str(error) or "it is silent"
        return broken("dns", f"{at} does not answer: {told}", hint)
    if found and found[0] in box.own:
        return well("dns", f"{at} leads {name} to {found[0]}")
    where = ", ".join(found) or "nowhere"
    hint = "a box that does not trust itself leads past itself: ollama-appliance status"
    return broken("dns", f"{at} leads {name} to {where}", hint)


async def _knock(box: Examined, what: str, port: int, ring: Ring, shown: str) -> Finding:
    """Ring one door."""
    at = format_authority(box.address, port, default_port=0)
    trouble, error = await rung(Door(what, "", ((box.address, port),), ring))
    if not trouble:
        return well(what, f"{shown} at {at}")
    if isinstance(error, ssl.SSLError):
        hint = "is the clock right? type date; if it is: systemctl restart ollama-appliance"
    else:
        hint = f"let TCP {port} in; is it another's? ss -ltnp 'sport = :{port}'"
    return broken(what, trouble, hint)


async def _examine_pull(box: Examined) -> AsyncIterator[Finding]:
    """Pull by address; the part that fails is broken, and those after it were not reached."""
    parts = [part for part in box.pull.parts if part != "dns"]
    failure: SelfPullError | None = None
    try:
        await box.pull.run_at(box.address)
    except SelfPullError as error:
        failure = error
    for part in parts:
        if failure is not None and part == failure.part:
            yield broken(_STEPS[part], str(failure), _HINTS.get(part, LOG_LINE))
            return
        yield well(_STEPS[part], SHOWN[part])


_STEPS = {
    "proxy": "pull: manifest",
    "web": "pull: blob by redirect",
    "index": "pull: from the cache",
    "pump": "pull: blob over https",
}
