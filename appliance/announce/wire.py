"""Router Advertisements and Solicitations, bytes to values and back (RFC 4861 §4.1, §4.2, §4.6.2).

Pure. The checksum is left zero: the kernel fills it in for ICMPv6 sockets (RFC 3542 §3.1), and
drops what comes with a wrong one.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

SOLICITATION, ADVERTISEMENT = 133, 134
HOP_LIMIT = 255  # None but a neighbour can send it: every router lowers it by one.

_PREFIX_INFORMATION, _PREFIX_SIZE_UNITS = 3, 4
_ON_LINK, _AUTONOMOUS = 0x80, 0x40
_SOLICITATION_HEAD = struct.Struct("!BBHI")
_ADVERTISEMENT_HEAD = struct.Struct("!BBHBBHII")
_PREFIX_HEAD = struct.Struct("!BBBBIII")
_UNIT_SIZE_BYTES = 8  # Of an option's length.


@dataclass(frozen=True, slots=True)
class Prefix:
    """One prefix as advertised."""

    network: IPv6Network
    is_on_link: bool
    is_autonomous: bool
    valid_seconds: int

    def __str__(self) -> str:
        return str(self.network)


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a router says. Without a lifetime it is nobody's default router."""

    router_lifetime_seconds: int
    prefixes: tuple[Prefix, ...]


def format_advertisement(address: str, valid_seconds: int) -> bytes:
    """Say that `address`, it alone, is on this link; with 0 seconds, that it is no longer.

    A client that hears it gets one route: no default router, no address of its own, no setting.
    """
    head = _ADVERTISEMENT_HEAD.pack(ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)
    prefix = _PREFIX_HEAD.pack(
        _PREFIX_INFORMATION, _PREFIX_SIZE_UNITS, 128, _ON_LINK, valid_seconds, valid_seconds, 0
    )
    return head + prefix + IPv6Address(address).packed


def format_solicitation() -> bytes:
    """Ask all routers to say what they advertise."""
    return _SOLICITATION_HEAD.pack(SOLICITATION, 0, 0, 0)


def is_solicitation(packet: bytes) -> bool:
    """Whether this asks routers to speak; RFC 4861 §6.1.1."""
    is_one = len(packet) >= _SOLICITATION_HEAD.size and packet[:2] == bytes([SOLICITATION, 0])
    return is_one and _options(packet[_SOLICITATION_HEAD.size :]) is not None


def parse_advertisement(packet: bytes) -> Advertisement | None:
    """Read an advertisement; None where it is none, or one to be ignored by RFC 4861 §6.1.2."""
    if len(packet) < _ADVERTISEMENT_HEAD.size or packet[:2] != bytes([ADVERTISEMENT, 0]):
        return None
    lifetime_seconds = _ADVERTISEMENT_HEAD.unpack_from(packet)[5]
    options = _options(packet[_ADVERTISEMENT_HEAD.size :])
    if options is None:
        return None
    prefixes = (_parse_prefix(each) for each in options)
    return Advertisement(lifetime_seconds, tuple(each for each in prefixes if each is not None))


def _options(content: bytes) -> tuple[bytes, ...] | None:
    """The options, each with its head; None where one has no length, or goes beyond the end."""
    found, at = [], 0
    while at < len(content):
        size_bytes = content[at + 1] * _UNIT_SIZE_BYTES if at + 1 < len(content) else 0
        if not size_bytes or at + size_bytes > len(content):
            return None
        found.append(content[at : at + size_bytes])
        at += size_bytes
    return tuple(found)


def _parse_prefix(option: bytes) -> Prefix | None:
    if option[:2] != bytes([_PREFIX_INFORMATION, _PREFIX_SIZE_UNITS]):
        return None
    _kind, _size, width, flags, valid_seconds, _preferred, _reserved = _PREFIX_HEAD.unpack_from(
        option
    )
    if width > 128:
        return None
    number = int.from_bytes(option[_PREFIX_HEAD.size :])
    return Prefix(
        IPv6Network((number, width), strict=False),
        bool(flags & _ON_LINK),
        bool(flags & _AUTONOMOUS),
        valid_seconds,
    )
