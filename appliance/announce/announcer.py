"""When to speak: listen first, announce at RFC 4861's pace, take it back at the end.

Theory of operation. Before it says anything it solicits, as any host does that has just come, and
listens: a network that has a router's advertisements has no need of ours, and is not to be
confused by two. One that appears later ends it as well. What it says lives for three of its
intervals, so that two that are lost do no harm; and at the end it says three times that it is over.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from appliance.announce.link import ALL_NODES, ALL_ROUTERS, Heard, Link, Solicited
from appliance.announce.wire import Advertisement, format_advertisement, format_solicitation


@dataclass(frozen=True, slots=True)
class Pace:
    """Intervals, in seconds; the defaults are RFC 4861's, under its names."""

    solicitation_interval: float = 4.0  # RTR_SOLICITATION_INTERVAL
    solicitations: int = 3  # MAX_RTR_SOLICITATIONS
    initial_interval: float = 16.0  # MAX_INITIAL_RTR_ADVERT_INTERVAL
    initial_count: int = 3  # MAX_INITIAL_RTR_ADVERTISEMENTS
    interval_min: float = 200.0  # MinRtrAdvInterval
    interval_max: float = 600.0  # MaxRtrAdvInterval
    gap: float = 3.0  # MIN_DELAY_BETWEEN_RAS
    delay_max: float = 0.5  # MAX_RA_DELAY_TIME
    final_count: int = 3  # MAX_FINAL_RTR_ADVERTISEMENTS


VALID_SECONDS = 1800  # Three of the longest intervals, as RFC 4861 has a router's own lifetime.

_random = secrets.SystemRandom()


class OtherRouterError(Exception):
    """Somebody else advertises on this network."""

    hint = "the network has IPv6 of its own: set blobs.announce = false, nothing needs announcing"

    def __init__(self, heard: Heard) -> None:
        what = describe(heard.advertisement)
        super().__init__(f"another router advertises here: {heard.source} ({what})")


class AddressGoneError(Exception):
    """The machine has not got the address that it is to announce."""

    def __init__(self, address: str, interface: str) -> None:
        super().__init__(f"{interface or 'no interface'} does not have {address}")
        self.hint = f"type: ip -6 address add {address}/128 dev {interface or 'eth0'}"


class Announcer:
    """Announces `address` on one link until stopped. `is_held` tells whether it is still there."""

    def __init__(
        self,
        link: Link,
        address: str,
        *,
        is_held: Callable[[], bool],
        interface: str,
        pace: Pace = Pace(),
    ) -> None:
        self._link = link
        self._address = address
        self._is_held = is_held
        self._interface = interface
        self._pace = pace
        self._sent_at = float("-inf")
        self._is_stopping = False

    def stop(self) -> None:
        """End in order: `run` takes back what was announced, and returns."""
        self._is_stopping = True
        self._link.wake()

    async def run(self, say: Callable[[str], None]) -> None:
        """Announce. `say` is told why it is silent, and "" once it is not.

        Raises:
            OtherRouterError: somebody else advertises, now or later.
            AddressGoneError: the address is not, or no longer, on the interface.
            OSError: the interface is down.
        """
        say("listening first, for whoever else advertises here")
        await self._listen()
        if self._is_stopping:
            return
        try:
            await self._announce(say)
        finally:
            await self._withdraw()

    async def _listen(self) -> None:
        for _ in range(self._pace.solicitations):
            self._require_address()
            self._link.send(format_solicitation(), ALL_ROUTERS)
            await self._hear(time.monotonic() + self._pace.solicitation_interval)

    async def _announce(self, say: Callable[[str], None]) -> None:
        count = 0
        while not self._is_stopping:
            self._require_address()
            self._send(VALID_SECONDS)
            say("")
            count += 1
            interval = _random.uniform(self._pace.interval_min, self._pace.interval_max)
            if count < self._pace.initial_count:
                interval = min(interval, self._pace.initial_interval)
            await self._hear(self._sent_at + interval)

    async def _hear(self, until: float) -> None:
        """Listen until then; less where somebody asks for an answer."""
        while not self._is_stopping and (now := time.monotonic()) < until:
            match await self._link.wait(until - now):
                case Heard() as heard if _is_rival(heard.advertisement):
                    raise OtherRouterError(heard)
                case Solicited():
                    delay = _random.uniform(0.0, self._pace.delay_max)
                    soonest = max(time.monotonic() + delay, self._sent_at + self._pace.gap)
                    until = min(until, soonest) if self._has_spoken else until
                case _:
                    pass

    @property
    def _has_spoken(self) -> bool:
        return self._sent_at != float("-inf")

    async def _withdraw(self) -> None:
        """Say that it is over, never more often than every few seconds."""
        for _ in range(self._pace.final_count if self._has_spoken else 0):
            until = self._sent_at + self._pace.gap
            while (now := time.monotonic()) < until:
                await self._link.wait(until - now)
            try:
                self._send(0)
            except OSError:
                return  # The link is down: nobody is there to hear it.

    def _send(self, valid_seconds: int) -> None:
        self._link.send(format_advertisement(self._address, valid_seconds), ALL_NODES)
        self._sent_at = time.monotonic()

    def _require_address(self) -> None:
        if not self._is_held():
            raise AddressGoneError(self._address, self._interface)


def _is_rival(advertisement: Advertisement) -> bool:
    """Whether it offers a way or a prefix; one that offers neither disturbs nobody."""
    return bool(advertisement.router_lifetime_seconds or advertisement.prefixes)


def describe(advertisement: Advertisement) -> str:
    """What it offers, for people."""
    routes = ["a default route"] if advertisement.router_lifetime_seconds else []
    return ", ".join([*routes, *map(str, advertisement.prefixes)])
