"""The one raw socket: ICMPv6 on one interface, Router Advertisements and Solicitations only."""

import array
import asyncio
import socket
import struct
from collections import deque
from dataclasses import dataclass
from ipaddress import IPv6Address

from appliance.announce.wire import (
    ADVERTISEMENT,
    HOP_LIMIT,
    SOLICITATION,
    Advertisement,
    is_solicitation,
    parse_advertisement,
)

ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
PACKET_SIZE_BYTES_MAX = 1500  # Neighbour discovery is never fragmented (RFC 6980).
HEARD_MAX = 64  # A flood is worth no memory: what does not fit is not heard.

_ICMP6_FILTER = 1  # RFC 3542 §3.2; Python has no name for it. A bit that is set blocks its type.


@dataclass(frozen=True, slots=True)
class Solicited:
    """Somebody wants routers to speak."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Another router speaks; `source` is its link-local address."""

    source: str
    advertisement: Advertisement


def open_socket(interface: str) -> socket.socket:
    """A raw socket on this interface alone.

    Raises:
        PermissionError: without CAP_NET_RAW.
        OSError: there is no such interface.
    """
    index = socket.if_nametoindex(interface)
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _pass_only())
        for option, value in (
            (socket.IPV6_MULTICAST_HOPS, HOP_LIMIT),
            (socket.IPV6_MULTICAST_IF, index),
            (socket.IPV6_MULTICAST_LOOP, 0),
            (socket.IPV6_RECVHOPLIMIT, 1),
        ):
            sock.setsockopt(socket.IPPROTO_IPV6, option, value)
        group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class Link:
    """Sends on the socket, and keeps what came until somebody waits for it. Owns the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._heard: deque[Solicited | Heard] = deque(maxlen=HEARD_MAX)
        self._woken = asyncio.Event()
        asyncio.get_running_loop().add_reader(sock, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def send(self, packet: bytes, to: str) -> None:
        """Raises OSError: the interface is down, or has no link-local address."""
        self._socket.sendto(packet, (to, 0))

    def wake(self) -> None:
        """Let whoever waits look around."""
        self._woken.set()

    async def wait(self, seconds: float) -> Solicited | Heard | None:
        """What came next; None after so many seconds, or when woken."""
        if not self._heard:
            try:
                async with asyncio.timeout(max(0.0, seconds)):
                    await self._woken.wait()
            except TimeoutError:
                return None
        self._woken.clear()
        return self._heard.popleft() if self._heard else None

    def _read(self) -> None:
        try:
            packet, ancillary, _flags, source = self._socket.recvmsg(
                PACKET_SIZE_BYTES_MAX, socket.CMSG_SPACE(4)
            )
        except OSError:  # Nothing after all, or the interface has just gone: sending will tell.
            return
        is_neighbour = any(
            (level, kind, _number(data)) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, HOP_LIMIT)
            for level, kind, data in ancillary
        )
        found = _understand(packet, source[0]) if is_neighbour else None
        if found is not None:
            self._heard.append(found)
            self._woken.set()


def _understand(packet: bytes, source: str) -> Solicited | Heard | None:
    if is_solicitation(packet):
        return Solicited()
    advertisement = parse_advertisement(packet)
    is_router = IPv6Address(source.partition("%")[0]).is_link_local  # RFC 4861 §6.1.2
    return Heard(source, advertisement) if advertisement and is_router else None


def _number(data: bytes) -> int:
    return struct.unpack("@i", data)[0] if len(data) == 4 else -1


def _pass_only() -> bytes:
    words = array.array("I", [0xFFFFFFFF] * 8)
    for kind in (SOLICITATION, ADVERTISEMENT):
        words[kind >> 5] &= ~(1 << (kind & 31)) & 0xFFFFFFFF
    return words.tobytes()
