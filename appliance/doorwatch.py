"""Rings the box's own doors again and again: one that opens no more is known within two seconds.

Theory of operation. A self-pull a minute shows everything and is too rare; the heartbeat shows that
the loop turns and not that anybody is let in. So each listening socket is dialled as a client does,
up to its first answer: TLS with our name and our CA, a head in the clear, a CONNECT. A closed
socket refuses at once, a silent one is given RING_SECONDS_MAX; with the pause between two rounds
that stays below the two seconds in which DNS must fail open. A door that answers others meanwhile
is busy, not closed: a class that starts at once would else be sent to the Internet.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from appliance.policy.health import Check
from appliance.protocol.fields import format_authority

RING_SECONDS = 0.75  # Between two rounds, which cost a few milliseconds each.
RING_SECONDS_MAX = 1.0  # What a client notices; a healthy door takes a hundredth of it.

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # What to dial for all of them.

type Place = tuple[str, int]
type Ring = Callable[[Place], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Door:
    """A door of the box: the part that it is, where it listens, and how to ring it.

    `ring` raises OSError where the door does not open. `answered` tells how many requests it has
    answered so far, where that is known.
    """

    part: str
    says: str
    places: tuple[Place, ...]
    ring: Ring
    answered: Callable[[], int] = lambda: 0


class DoorWatch:
    """Knows which doors did not open when they were last rung, and what else stands in the way.

    `looks` are questions by part that do not wait: why nothing can be served now, or "".
    """

    def __init__(
        self, doors: Iterable[Door], looks: Mapping[str, Callable[[], str]] | None = None
    ) -> None:
        self._doors = tuple(doors)
        self._looks = looks or {}
        self._closed: dict[str, Check] = {}

    @property
    def parts(self) -> frozenset[str]:
        """The parts whose doors are watched."""
        return frozenset(door.part for door in self._doors)

    def closed(self) -> dict[str, Check]:
        """The doors that are closed, each as a Check that says so."""
        return self._closed

    async def ring(self) -> bool:
        """Ring every door once, all together; whether another set of them is closed than before."""
        found = await asyncio.gather(*map(rung, self._doors))
        before, told = self._closed, {part: look() for part, look in self._looks.items()}
        for door, (trouble, _) in zip(self._doors, found, strict=True):
            if trouble:
                told[door.part] = f"{door.says}: {trouble}"
        self._closed = {
            part: Check(is_ok=False, detail=detail) for part, detail in told.items() if detail
        }
        return before.keys() != self._closed.keys()


def places_of(sockets: Iterable[socket.socket]) -> tuple[Place, ...]:
    """Where to dial listening sockets."""
    names = [each.getsockname() for each in sockets]
    return tuple((_WILDCARDS.get(name[0], name[0]), name[1]) for name in names)


def tls_ringer(name: str, ca_pem: str) -> Ring:
    """Ring by a TLS handshake for `name`, trusting our CA only."""
    context = ssl.create_default_context(cadata=ca_pem)

    async def ring(place: Place) -> None:
        _, writer = await asyncio.open_connection(*place, ssl=context, server_hostname=name)
        writer.close()  # What comes of that is no matter: it has opened.

    return ring


def connect_head(name: str) -> bytes:
    """The head by which a client of the proxy door asks for `name`."""
    return f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n".encode("ascii")


def head_ringer(head: bytes) -> Ring:
    """Ring by the head of a request, to which anything but 200 is no opening."""

    async def ring(place: Place) -> None:
        reader, writer = await asyncio.open_connection(*place)
        try:
            writer.write(head)
            status = await reader.readline()
        finally:
            writer.close()
        if status.split(b" ", 2)[1:2] != [b"200"]:
            told = status.decode("ascii", "replace").strip()
            raise ConnectionError(f"it answers {told!r}" if told else "it hangs up")

    return ring


async def rung(door: Door) -> tuple[str, OSError | None]:
    """Ring a door: why it does not open, for people and as it was raised; or "" and None."""
    at, before = "", door.answered()
    try:
        async with asyncio.timeout(RING_SECONDS_MAX):
            for host, port in door.places:
                at = format_authority(host, port, default_port=0)
                await door.ring((host, port))
    except TimeoutError:
        if door.answered() > before:
            return "", None
        return f"nothing comes from {at}", TimeoutError()
    except OSError as error:
        return f"{at}: {error.strerror or error}", error
    return "", None
