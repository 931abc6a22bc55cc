"""Asking other DNS servers: the origin's true address, past our own answers.

Theory of operation. The LAN's DNS leads to this box, so the box asks its upstream servers itself,
in turn until one gives an address that may be dialled. The last good answer is kept beyond its
lifetime, for the hour in which no server answers.
"""

import asyncio
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic

from dnslib import QTYPE, RCODE, DNSError, DNSLabel, DNSLabelError, DNSQuestion, DNSRecord

from appliance.policy.addresses import AddressRefusedError, check_origin_address
from appliance.upstream.exchange import Server, exchange_tcp, exchange_udp

TRY_SECONDS = 2.0  # Twice a slow round trip and its retry; a client waits 5 in all.
TTL_SECONDS_MIN, TTL_SECONDS_MAX = 5, 300  # Neither asked at each request nor kept through a move.
HOSTS_MAX = 256  # The origin, its CDN hosts and the tunnelled names are a dozen.
# What dnslib makes of bytes that are no DNS.
UNREADABLE = (DNSError, DNSLabelError, ValueError, RecursionError, struct.error)
CHAIN_MAX = 8  # CNAMEs one after another; CDNs use two or three.


class NameUnresolvableError(Exception):
    """No DNS server gave an address for a host."""

    def __init__(self, host: str, hint: str) -> None:
        super().__init__(f"no address is known for {host}")
        self.host = host
        self.hint = hint


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one server said; `addresses` is empty where the name has none."""

    addresses: tuple[str, ...]
    ttl_seconds: int
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    addresses: tuple[str, ...]
    fresh_until: float


async def ask(server: Server, name: str, rtype: str, timeout_seconds: float) -> tuple[str, ...]:
    """Ask one server one plain question by UDP, and return the addresses it gives; or none.

    Raises:
        OSError: no answer, or one that says that the server failed.
    """
    async with asyncio.timeout(timeout_seconds):
        return (await _ask(server, name, rtype)).addresses


class Resolver:
    """The box's own look-ups. Look-ups of one host at once share one round of questions."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        allow_private: bool,
        own_addresses: Callable[[], frozenset[str]],
    ) -> None:
        self._servers = tuple(servers)
        self._allow_private = allow_private
        self._own_addresses = own_addresses
        self._known: dict[str, _Known] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses to dial for `host`, IPv4 first; never none.

        Raises:
            NameUnresolvableError: no server knows one, and none was known before.
            AddressRefusedError: it has addresses, and none that may be dialled.
        """
        host = host.lower().removesuffix(".")
        if _is_address(host):
            self._check(host)
            return (host,)
        _check_name(host)
        lock = self._locks.setdefault(host, asyncio.Lock())
        try:
            async with lock:
                known = self._known.get(host)
                if known is None or known.fresh_until <= monotonic():
                    known = await self._look_up(host)
                return known.addresses
        finally:
            if not lock.locked():
                self._locks.pop(host, None)

    def last_known(self, host: str) -> tuple[str, ...]:
        """What `host` resolved to last, however long ago; empty if it never did."""
        known = self._known.get(host.lower().removesuffix("."))
        return known.addresses if known is not None else ()

    async def _look_up(self, host: str) -> _Known:
        refused: AddressRefusedError | None = None
        has_answer = False
        for server in self._servers:
            answer = await _ask_both(server, host)
            if answer is None:
                continue
            has_answer = True
            addresses, refusal = self._sieve(answer.addresses)
            refused = refused or refusal
            if addresses:
                return self._keep(host, addresses, answer.ttl_seconds)
        if refused is not None:
            raise refused
        return self._fall_back(host, has_answer=has_answer)

    def _fall_back(self, host: str, *, has_answer: bool) -> _Known:
        """What was known before, where every server is dead."""
        if has_answer:
            raise NameUnresolvableError(host, f"the DNS servers know no address for {host}")
        if (known := self._known.get(host)) is not None:
            return self._keep(host, known.addresses, TTL_SECONDS_MIN)
        named = ", ".join(host for host, _ in self._servers) or "none is named"
        raise NameUnresolvableError(host, f"no DNS server answers ({named}): set dns.upstream")

    def _keep(self, host: str, addresses: tuple[str, ...], ttl_seconds: int) -> _Known:
        seconds = min(max(ttl_seconds, TTL_SECONDS_MIN), TTL_SECONDS_MAX)
        self._known.pop(host, None)
        if len(self._known) >= HOSTS_MAX:
            del self._known[next(iter(self._known))]
        known = self._known[host] = _Known(addresses, monotonic() + seconds)
        return known

    def _sieve(
        self, addresses: Sequence[str]
    ) -> tuple[tuple[str, ...], AddressRefusedError | None]:
        passed, refusal = [], None
        for address in addresses:
            try:
                self._check(address)
                passed.append(address)
            except AddressRefusedError as error:
                refusal = error
        return tuple(passed), refusal

    def _check(self, address: str) -> None:
        check_origin_address(address, self._own_addresses(), allow_private=self._allow_private)


async def _ask_both(server: Server, host: str) -> _Answer | None:
    """A and AAAA at once; one of them is enough where the other goes unanswered."""
    async with asyncio.TaskGroup() as questions:
        asked = [questions.create_task(_try(server, host, rtype)) for rtype in ("A", "AAAA")]
    answers = [answer for each in asked if (answer := each.result()) is not None]
    if not answers:
        return None
    addresses = tuple(address for each in answers for address in each.addresses)
    return _Answer(addresses, min(each.ttl_seconds for each in answers))


async def _try(server: Server, host: str, rtype: str) -> _Answer | None:
    try:
        async with asyncio.timeout(TRY_SECONDS):
            return await _ask(server, host, rtype)
    except OSError:
        return None


async def _ask(server: Server, name: str, rtype: str) -> _Answer:
    query = _query(name, rtype)
    answer = _read(await exchange_udp(server, query), name, rtype)
    if answer.is_truncated:
        answer = _read(await exchange_tcp(server, query), name, rtype)
    return answer


def _query(name: str, rtype: str) -> bytes:
    record = DNSRecord(q=DNSQuestion(DNSLabel(name), getattr(QTYPE, rtype)))
    record.header.id = int.from_bytes(os.urandom(2))
    return bytes(record.pack())


def _read(response: bytes, name: str, rtype: str) -> _Answer:
    """Read the addresses that `name` leads to, along its CNAMEs.

    Raises:
        ConnectionError: the server failed, or said what is no DNS.
    """
    try:
        record = DNSRecord.parse(response)
    except UNREADABLE as error:
        raise ConnectionError("the answer cannot be read") from error
    if record.header.rcode == RCODE.NXDOMAIN:
        return _Answer((), TTL_SECONDS_MAX)
    if record.header.rcode != RCODE.NOERROR:
        raise ConnectionError(f"the server says {RCODE.get(record.header.rcode)}")
    if record.header.tc:
        return _Answer((), TTL_SECONDS_MIN, is_truncated=True)
    return _follow(record, DNSLabel(name), getattr(QTYPE, rtype))


def _follow(record: DNSRecord, name: DNSLabel, rtype: int) -> _Answer:
    ttl_seconds = TTL_SECONDS_MAX
    for _ in range(CHAIN_MAX):
        found = [each for each in record.rr if each.rname == name and each.rtype == rtype]
        links = [each for each in record.rr if each.rname == name and each.rtype == QTYPE.CNAME]
        ttl_seconds = min([ttl_seconds, *(each.ttl for each in found or links)])
        if found:
            return _Answer(tuple(str(each.rdata) for each in found), ttl_seconds)
        if not links:
            break
        name = links[0].rdata.label
    return _Answer((), TTL_SECONDS_MAX)


def _check_name(host: str) -> None:
    try:
        _query(host, "A")
    except (DNSError, DNSLabelError, UnicodeError) as error:
        raise NameUnresolvableError(host, "correct it: DNS cannot hold such a name") from error


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
