"""Examines this machine as one that pulls: each reason why it passes the box by, apart.

Theory of operation. The box is dialled by its address, so that it can be told from what stands
between. Then every DNS server that the machine has is asked by itself, for the machine uses
whichever answers; what the system makes of them all comes last. Then each Ollama server that runs
here is looked at in its own environment and by its own files, which are seldom those of a shell.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp

from appliance.certs import parse_authority
from appliance.client.machine import (
    Naming,
    OllamaServer,
    find_encrypting,
    find_ollama,
    find_trust,
    read_host_lines,
    read_naming,
)
from appliance.doorwatch import Door, Ring, rung, tls_ringer
from appliance.examination import Finding, broken, well
from appliance.logs import redact
from appliance.policy.addresses import DNS_PORT
from appliance.policy.proxies import Proxies, is_excluded, leads_to_box, read_proxies
from appliance.policy.symptoms import SNIPPETS, Place, Symptom, advise, name_symptom, place_server
from appliance.protocol.fields import format_authority
from appliance.upstream.exchange import Server
from appliance.upstream.questions import ask_all, ask_reply

FETCH_SECONDS = 5.0
DOCUMENT_SIZE_BYTES_MAX = 64 * 1024  # Of a CA or a few facts; whoever answers may be anybody.
_ADDRESS_TYPES = ("A", "AAAA")
_RESTART = "restart it: systemctl restart ollama, or docker restart CONTAINER"


@dataclass(frozen=True, slots=True)
class Sought:
    """The box as this machine should find it, by one of its addresses."""

    address: str
    web_port: int = 80
    dns_port: int = DNS_PORT
    tls_port: int = 443

    @property
    def url(self) -> str:
        return f"http://{format_authority(self.address, self.web_port, default_port=80)}"


@dataclass(frozen=True, slots=True)
class Here:
    """This machine: the shell's environment, where files begin, how names and servers are found."""

    environ: Mapping[str, str]
    root: Path = Path("/")
    look_up: Callable[[str], tuple[str, ...]] = lambda name: look_up(name)
    dial: Callable[[str], Server] = lambda address: (address, DNS_PORT)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the box told of itself; `ring` rings its https, trusting its CA alone."""

    name: str
    blob_hosts: tuple[str, ...]
    own: frozenset[str]
    ca_pem: str
    fingerprint: str
    ring: Ring


def look_up(name: str) -> tuple[str, ...]:
    """What the system makes of a name, hosts file and all. Blocks."""
    try:
        found = socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


async def examine_client(box: Sought, here: Here) -> AsyncIterator[Finding]:
    """Every finding, what everything else rests on first."""
    try:
        found = await _meet(box)
    except (OSError, aiohttp.ClientError, ValueError, KeyError) as error:
        told = str(error) or "nothing comes from there"
        hint = "is that its address, and is a firewall between? on the box: ollama-appliance doctor"
        yield broken("box", f"{box.url} does not answer: {told}", hint)
        return
    yield well("box", f"{box.url} answers, for {found.name}")
    yield await _examine_https(box, found)
    async for finding in _examine_names(box, found, here):
        yield finding
    servers = list(await asyncio.to_thread(lambda: list(find_ollama(here.root))))
    for finding in await asyncio.to_thread(
        lambda: list(_examine_servers(box, found, here, servers))
    ):
        yield finding


async def _meet(box: Sought) -> _Found:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        info = json.loads(await _fetch(session, f"{box.url}/api/info"))
        pem = (await _fetch(session, f"{box.url}/ca.pem")).decode("ascii", "replace")
    name = str(info["registry"]).lower()
    own = frozenset({box.address, *map(str, info["server_ips"])})
    authority = parse_authority(pem.encode())
    others = tuple(each for each in authority.names if each != name)
    return _Found(name, others, own, pem, authority.fingerprint, tls_ringer(name, pem))


async def _fetch(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as reply:
        if reply.status != HTTPStatus.OK:
            raise ValueError(f"{url} answers {reply.status}")
        return await reply.content.read(DOCUMENT_SIZE_BYTES_MAX)


async def _examine_https(box: Sought, found: _Found) -> Finding:
    at = format_authority(box.address, box.tls_port, default_port=0)
    trouble, _ = await rung(Door("https", "", ((box.address, box.tls_port),), found.ring))
    if not trouble:
        return well("https", f"{at} is {found.name}, by the CA SHA256:{found.fingerprint}")
    hint = f"let TCP {box.tls_port} pass to it; is this machine's clock right?"
    return broken("https", trouble, hint)


async def _examine_names(box: Sought, found: _Found, here: Here) -> AsyncIterator[Finding]:
    """The box's DNS, each server of this machine, then what comes of them all."""
    direct = await ask_reply((box.address, box.dns_port), found.name, "A")
    at = format_authority(box.address, box.dns_port, default_port=53)
    if not direct.records:
        yield well("dns of the box", f"{at} answers none: what leads here is the network's own")
    elif found.own.issuperset(direct.records):
        yield well("dns of the box", f"{at} leads to the box")
    else:
        where = ", ".join(direct.records)
        hint = "on the box: ollama-appliance status"
        yield broken("dns of the box", f"{at} leads to {where}: it is unwell, or told so", hint)
    naming, blobs = read_naming(here.root), await _find_blob_host(box, found)
    for server in dict.fromkeys((*naming.servers, *naming.behind_stub)):
        finding = await _examine_server(server, here.dial(server), naming, box, found)
        yield finding
        if finding.is_ok and blobs is not None:
            yield await _examine_blob_host(server, here.dial(server), *blobs)
    if local := _describe_encrypting(found.name, naming, here):
        yield local
    yield await _examine_system(box, found, here)


async def _examine_server(
    address: str, server: Server, naming: Naming, box: Sought, found: _Found
) -> Finding:
    what = f"dns {address}"
    place = place_server(address, naming.search)
    told = await ask_all(server, found.name)
    symptom = name_symptom(told, found.own)
    detail = f"{place.value} {symptom.value}"
    if symptom is Symptom.LEADS_HERE:
        return well(what, detail)
    if symptom in (Symptom.PAST_BY_A, Symptom.PAST_BY_AAAA):
        detail += f": {', '.join((*told.a.records, *told.aaaa.records))}"
    if len(naming.servers) > 1 and address in naming.servers:
        detail += f"; it is one of {len(naming.servers)}, and any of them may be asked"
    return broken(what, detail, advise(symptom, place, address, box.address, found.name))


async def _find_blob_host(box: Sought, found: _Found) -> tuple[str, Server] | None:
    """The blob host's name and who knows its addresses; None where it has none to be known."""
    place = (box.address, box.dns_port)
    for name in found.blob_hosts:
        for rtype in _ADDRESS_TYPES:
            if (await ask_reply(place, name, rtype)).records:
                return name, place
    return None


async def _examine_blob_host(server: str, at: Server, name: str, knowing: Server) -> Finding:
    """Whether a server that leads to the box says of the blob host what the box itself does."""
    what = f"dns {server}: {name}"
    for rtype in _ADDRESS_TYPES:
        theirs, ours = await ask_reply(at, name, rtype), await ask_reply(knowing, name, rtype)
        if set(theirs.records) != set(ours.records):
            told = ", ".join(theirs.records) or "nothing"
            detail = f"answers {told} for {rtype}: the newest Ollama fetches its blobs there"
            hint = f"there, answer {', '.join(ours.records) or 'nothing'}: {SNIPPETS}"
            return broken(what, detail, hint)
    return well(what, "the same as the box says")


def _describe_encrypting(name: str, naming: Naming, here: Here) -> Finding | None:
    """Programs that take DNS elsewhere, where this machine asks one of its own."""
    asks_itself = any(
        place_server(each, naming.search) in (Place.LOCAL, Place.STUB) for each in naming.servers
    )
    programs = find_encrypting(here.root)
    if not (asks_itself and programs):
        return None
    named = ", ".join(programs)
    hint = f"have it leave {name} to the box, or stop it: systemctl stop {programs[0]}"
    told = f"{named} runs here and may carry this machine's DNS past the network, encrypted"
    return broken("dns over https", told, hint)


async def _examine_system(box: Sought, found: _Found, here: Here) -> Finding:
    """What programs here are told, the hosts file included."""
    lines = read_host_lines(here.root, (found.name,))
    addresses = await asyncio.to_thread(here.look_up, found.name)
    by = f" by /etc/hosts: {lines[found.name]}" if found.name in lines else ""
    if addresses and found.own.issuperset(addresses):
        return well("this machine", f"{found.name} leads to the box{by}")
    where = ", ".join(addresses) or "nowhere"
    hint = (
        f"take its line out of /etc/hosts: {lines[found.name]} {found.name}"
        if by
        else f"correct DNS as above; for this machine alone: curl -fsS {box.url}/install.sh | "
        "sudo sh -s -- --hosts"
    )
    return broken("this machine", f"{found.name} leads to {where}{by}", hint)


def _examine_servers(
    box: Sought, found: _Found, here: Here, servers: list[OllamaServer]
) -> Iterator[Finding]:
    """Each Ollama server; without one, what a shell and the system would give it. Blocks."""
    if not servers:
        yield well("ollama", "no `ollama serve` runs here that this user can see")
        yield from _examine_proxies("this shell", read_proxies(here.environ), box, found)
        yield _examine_trust("this system", here.root, {}, None, box, found)
    for each in servers:
        what = f"ollama serve, pid {each.pid}"
        if each.environ is None:
            hint = "look again as root: sudo ollama-appliance doctor --client"
            yield broken(what, "its environment and files are not ours to read", hint)
            continue
        yield from _examine_proxies(what, read_proxies(each.environ), box, found)
        yield _examine_trust(what, each.root, each.environ, each.started_at, box, found)


def _examine_proxies(what: str, proxies: Proxies, box: Sought, found: _Found) -> Iterator[Finding]:
    """HTTPS_PROXY decides for the registry, HTTP_PROXY for blobs that come in the clear."""
    if not proxies.https or is_excluded(proxies.excluded, found.name):
        yield well(f"{what}: HTTPS_PROXY", f"none for {found.name}: DNS decides")
    elif leads_to_box(proxies.https, found.own):
        yield well(f"{what}: HTTPS_PROXY", "is the box: it is used whatever DNS says")
    else:
        told = f"is {redact(proxies.https)}: pulls go there, whatever DNS says"
        hint = f"take it away, or set NO_PROXY={found.name},{box.address}; then {_RESTART}"
        yield broken(f"{what}: HTTPS_PROXY", told, hint)
    is_http_past = proxies.http and not leads_to_box(proxies.http, found.own)
    if is_http_past and not is_excluded(proxies.excluded, box.address):
        told = f"is {redact(proxies.http)}: blobs that the box sends in the clear go there"
        hint = f"take it away, or set NO_PROXY={box.address}; then {_RESTART}"
        yield broken(f"{what}: HTTP_PROXY", told, hint)


def _examine_trust(
    what: str,
    root: Path,
    environ: Mapping[str, str],
    started_at: float | None,
    box: Sought,
    found: _Found,
) -> Finding:
    """Whether it trusts the box's CA, which Ollama reads once, at its first pull."""
    what = f"{what}: CA"
    named = [f"{key}={environ[key]}" for key in ("SSL_CERT_FILE", "SSL_CERT_DIR") if key in environ]
    path = find_trust(root, environ, found.ca_pem)
    if path is None:
        told = "does not trust the box's CA; not needed for ollama pull --insecure"
        if named:
            told += f"; of the system's it reads only {' '.join(named)}"
        hint = (
            f"curl -fsS {box.url}/install.sh | sudo sh -s -- --trust; for a container mount the "
            "host's bundle: docker run -v /etc/ssl/certs/ca-certificates.crt:"
            "/etc/ssl/certs/ca-certificates.crt:ro …"
        )
        return broken(what, told, hint)
    if started_at is not None and path.stat().st_mtime > started_at:
        return broken(what, f"is in {path.name}, which changed after it was started", _RESTART)
    return well(what, f"trusted, by {path.name}")
