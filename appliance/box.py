"""The running box as one value: for whoever keeps it going, changes it or tells of it."""

from dataclasses import dataclass

from appliance.audit import Audit
from appliance.blob_host import BlobHost
from appliance.cache.pulls import Cache
from appliance.delivery.pump import Pumps
from appliance.dns.responder import DnsResponder
from appliance.doorwatch import DoorWatch
from appliance.ground import Ground
from appliance.health import Checkup
from appliance.prefetching import Prefetcher
from appliance.registry.registry import Registry
from appliance.tokens import Tokens
from appliance.upkeep import Upkeep
from appliance.upstream.origin import Origin
from appliance.upstream.resolver import Resolver
from appliance.web.facts import Facts
from appliance.workers.crew import Crew


@dataclass(frozen=True, slots=True)
class Engine:
    """What answers pulls, whichever door they come by."""

    responder: DnsResponder | None
    blob_host: BlobHost
    resolver: Resolver
    origin: Origin
    cache: Cache
    pumps: Pumps
    registry: Registry
    pseudonym: str
    inline_trouble: str


@dataclass(frozen=True, slots=True)
class Box:
    """The running box, for whoever keeps it going, changes it or tells of it."""

    ground: Ground
    engine: Engine
    checkup: Checkup
    doors: DoorWatch
    facts: Facts
    upkeep: Upkeep
    prefetcher: Prefetcher
    tokens: Tokens
    audit: Audit
    crew: Crew

    def truth(self) -> tuple[str, ...]:
        """The registry's true addresses as last known."""
        return self.engine.resolver.last_known(self.ground.config.origin.name)
