"""The Internet of the demo: registry, CDN and name server on loopback, put together."""

import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.demo.bodies import BlobSender
from appliance.demo.cdn import Cdn
from appliance.demo.credentials import DemoAuthority
from appliance.demo.faults import Faults, Manners
from appliance.demo.habits import Surroundings
from appliance.demo.ledger import Ledger
from appliance.demo.models import DemoModel
from appliance.demo.names import NameServer
from appliance.demo.origin import Published, Registry, Shelf
from appliance.demo.presign import LIFETIME_SECONDS, Presigner
from appliance.demo.rates import Line
from appliance.demo.site import Answering, Site
from appliance.demo.tokens import TokenDesk

REGISTRY_NAME = "registry.ollama.ai"
CDN_NAME = "blobs.cdn.test"


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where the three listen; port 0 is any free one."""

    registry: tuple[str, int] = ("127.0.0.1", 0)
    cdn: tuple[str, int] = ("127.0.0.1", 0)
    names: tuple[str, int] = ("127.0.0.1", 0)


LOOPBACK = Sockets()


class Outside:
    """Runs while its context is open. Keeps certificates in `directory`; `now` is the wall clock.

    Not `with_tls` means plain http for both sites.
    """

    def __init__(
        self,
        directory: Path,
        now: Callable[[], float],
        *,
        with_tls: bool = True,
        total_bytes_per_second: int | None = None,
        connection_bytes_per_second: int | None = None,
        url_lifetime_seconds: int = LIFETIME_SECONDS,
        sockets: Sockets = LOOPBACK,
    ) -> None:
        secret = secrets.token_bytes()
        self.faults = Faults()
        self.manners = Manners()
        self.ledger = Ledger()
        self.shelf = Shelf()
        self.line = Line(total_bytes_per_second, connection_bytes_per_second)
        self.presigner = Presigner(secret, now, url_lifetime_seconds)
        # Without the port: clients ask for it by the name alone, and the realm must be theirs.
        scheme = "https" if with_tls else "http"
        self.tokens = TokenDesk(secret, f"{scheme}://{REGISTRY_NAME}")
        authority = DemoAuthority(directory)
        self.ca_file = authority.ca_file
        sender = BlobSender(self.line, self.faults, self.ledger)
        cdn = Cdn(self.shelf.blobs, self.presigner, sender, self.faults)
        self.cdn = self._site(CDN_NAME, cdn.answer, sockets.cdn, authority if with_tls else None)
        registry = Registry(
            self.shelf, self.presigner, sender, self.tokens, self.faults, self.manners, self.cdn
        )
        self.registry = self._site(
            REGISTRY_NAME, registry.answer, sockets.registry, authority if with_tls else None
        )
        zone = {REGISTRY_NAME: (self.registry.address,), CDN_NAME: (self.cdn.address,)}
        address, port = sockets.names
        self.names = NameServer(zone, address=address, port=port)
        self._held = AsyncExitStack()

    def _site(
        self, name: str, answer: Answering, at: tuple[str, int], authority: DemoAuthority | None
    ) -> Site:
        tls = authority.server_context([name]) if authority else None
        return Site(name, answer, self.ledger, address=at[0], port=at[1], tls=tls)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as held:
            for each in (self.registry, self.cdn, self.names):
                await held.enter_async_context(each)
            self._held = held.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._held.aclose()

    @property
    def surroundings(self) -> Surroundings:
        """The network of a client with no box in it."""
        return Surroundings(
            dns=(self.names.address, self.names.port),
            ca_file=self.ca_file,
            ports={443: self.registry.port, 80: self.registry.port},
        )

    def publish(
        self,
        model: DemoModel,
        *,
        version_min: tuple[int, int, int] = (0, 0, 0),
        is_private: bool = False,
    ) -> None:
        """Offer `model` under its tags, to clients of `version_min` and newer."""
        self.shelf.publish(Published(model, version_min, is_private))
