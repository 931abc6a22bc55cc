"""From a configuration to the parts of a box: which setting becomes whose argument.

Nothing here runs; the supervisor enters what is made here, in order.
"""

import hmac
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import certifi

from addons.tunnel import ProxyRules
from appliance import __version__
from appliance.cache.accounts import Uncounted
from appliance.cache.pulls import Cache
from appliance.certs import Authority, Leaf
from appliance.config import Config
from appliance.descriptors import raise_descriptor_limit
from appliance.dns.settings import Settings
from appliance.policy.addresses import Addresses, parse_system_servers
from appliance.policy.blob_addresses import BlobPlace, choose_announced
from appliance.policy.delivery import DeliveryPolicy, Fallback, Urls
from appliance.policy.eviction import Budget
from appliance.policy.turnstile import Turnstile, choose_connections_max
from appliance.protocol.reference import Repository
from appliance.registry.blobs import BlobRoutes
from appliance.registry.registry import Registry
from appliance.registry.requests import Request
from appliance.self_pull import SelfPull
from appliance.store.store import Store
from appliance.surroundings import Surroundings
from appliance.upstream.builtin import BUILTIN, BuiltinSource
from appliance.upstream.dialling import Dialling
from appliance.upstream.offline import OfflineSource
from appliance.upstream.origin import Origin
from appliance.upstream.resolver import Resolver
from appliance.upstream.source import Source
from appliance.web.bounds import Admission
from appliance.workers.crew import Crew, Handout
from appliance.workers.desk import Desk
from appliance.workers.words import WorkerSettings

USER_AGENT = f"ollama-appliance/{__version__}"
RESOLV_CONF = Path("/etc/resolv.conf")


def read_servers(
    config: Config, surroundings: Surroundings, dns_port: int
) -> tuple[tuple[str, int], ...]:
    """The DNS servers to ask: the configured ones, else the system's, this box left out."""
    if config.dns.upstream:
        return tuple(config.dns.upstream)
    try:
        servers = parse_system_servers(RESOLV_CONF.read_text("utf-8", "replace"))
    except OSError:
        return ()
    own = surroundings.own_addresses()
    return tuple(each for each in servers if each[0] not in own or each[1] != dns_port)


def find_roots(config: Config) -> str:
    """The PEM file that the origin is checked by: the configured, the system's, or certifi's."""
    system = ssl.get_default_verify_paths().cafile
    return str(config.origin.ca_file or system or certifi.where())


def make_pseudonym(secret: bytes) -> str:
    """The name this box signs `Via` with: its own, and telling nothing of its secret."""
    return f"ollama-appliance-{hmac.digest(secret, b'via', 'sha256')[:6].hex()}"


def make_resolver(
    config: Config, surroundings: Surroundings, servers: tuple[tuple[str, int], ...]
) -> Resolver:
    """The look-ups that go past our own DNS."""
    return Resolver(
        servers,
        allow_private=config.origin.allow_private,
        own_addresses=surroundings.own_addresses,
    )


def make_origin(config: Config, resolver: Resolver, pseudonym: str) -> Origin:
    """The registry that the box fetches from; the caller enters it."""
    dialling = Dialling(resolver.resolve, find_roots(config), config.origin.proxy)
    return Origin(config.origin.url, dialling, via=pseudonym, user_agent=USER_AGENT)


def choose_source(
    config: Config, origin: Origin, builtin: BuiltinSource
) -> Callable[[Repository], Source]:
    """Where each repository is fetched from."""
    outside: Source = OfflineSource() if config.cache.offline else origin

    def source_for(repository: Repository) -> Source:
        return builtin if repository == BUILTIN.repository else outside

    return source_for


def read_budget(config: Config, root: Path) -> Budget:
    """What the store at `root` may use of the file system that it is on."""
    file_system = os.statvfs(root)
    total_bytes = file_system.f_blocks * file_system.f_frsize
    return Budget(
        min_free_bytes=config.cache.min_free.bytes_of(total_bytes),
        max_size_bytes=config.cache.max_size.bytes_of(total_bytes),
    )


def make_cache(
    config: Config,
    store: Store,
    origin: Origin,
    builtin: BuiltinSource,
    now: Callable[[], float],
) -> Cache:
    """The cache in front of it; the caller enters it."""
    return Cache(
        store,
        choose_source(config, origin, builtin),
        now=now,
        fresh_seconds=config.cache.fresh_seconds,
        budget=lambda: read_budget(config, store.root),
        uncounted=Uncounted(BUILTIN.repository, builtin.digests),
        connections=config.origin.connections,
        client_days=config.access.client_days if config.access.record_clients else 0,
        scrub_days=config.cache.scrub_days,
    )


def make_registry(
    config: Config,
    cache: Cache,
    secret: bytes,
    *,
    web_port: int,
    tls_port: int,
    proxy_port: int | None,
    is_blob_host_offered: Callable[[Request], bool],
    can_send_inline: bool,
    now: Callable[[], float],
) -> Registry:
    """The registry that all doors speak for; the ports are what blob URLs name."""
    policy = DeliveryPolicy(
        refuse_private_from=config.blobs.refuse_private_from,
        fallback=Fallback(config.blobs.fallback),
        urls=Urls(config.blobs.delivery),
    )
    blobs = BlobRoutes(
        cache,
        policy,
        secret,
        address=str(config.box.address or ""),
        port=web_port,
        blob_host=config.blobs.host,
        tls_port=tls_port,
        is_blob_host_offered=is_blob_host_offered,
        proxy_port=proxy_port,
        now=now,
        can_send_inline=can_send_inline,
    )
    return Registry(cache, blobs)


def make_blob_place(config: Config, secret: bytes) -> BlobPlace:
    """Where the operator has the blob host; an address that is announced is nobody's otherwise."""
    configured = config.blobs.address
    is_announced = config.blobs.announce
    return BlobPlace(
        Addresses(configured.v4) if is_announced else configured,
        choose_announced(configured, secret) if is_announced else "",
        box_address=str(config.box.address or ""),
        is_published=config.blobs.published,
    )


def names_of(config: Config) -> frozenset[str]:
    """The names that the box opens TLS for."""
    return frozenset({config.origin.name, config.blobs.host})


def make_admission(surroundings: Surroundings) -> Admission:
    """Whose connections the doors take, and how many: as many as files may be open."""

    connections_max = choose_connections_max(raise_descriptor_limit())
    turnstile = Turnstile(surroundings.is_own, connections_max=connections_max)
    return Admission(surroundings.is_allowed, turnstile)


def make_proxy_rules(
    config: Config,
    surroundings: Surroundings,
    admission: Admission,
    http_ports: frozenset[int],
    pseudonym: str,
) -> ProxyRules:
    """Who may ask the proxy door for what; `http_ports` are those of the door in the clear."""

    def own_addresses() -> frozenset[str]:
        return surroundings.own_addresses().union(surroundings.dialled_addresses())

    return ProxyRules(
        opened=names_of(config),
        tunnelled=config.proxy.tunnel,
        is_allowed=admission.is_allowed,
        own_addresses=own_addresses,
        http_ports=http_ports,
        pseudonym=pseudonym,
        turnstile=admission.turnstile,
    )


def make_crew(
    config: Config,
    sockets: Sequence[socket.socket],
    leaf: Callable[[], Leaf],
    desk: Desk,
    self_pull: SelfPull,
    pseudonym: str,
) -> Crew:
    """The processes that share the https door; the caller enters them if there are any."""
    connections_max = choose_connections_max(raise_descriptor_limit())
    settings = WorkerSettings(
        names=tuple(sorted(names_of(config))),
        origin_url=config.origin.url,
        origin_name=config.origin.name,
        origin_proxy=config.origin.proxy,
        trusted_roots=find_roots(config),
        pseudonym=pseudonym,
        networks=tuple(map(str, config.access.allow)),
        log_level=logging.getLogger().level,
        connections_max=connections_max // (config.box.workers + 1),
    )
    handout = Handout(
        settings,
        sockets,
        leaf,
        desk,
        self_pull.address,
        pull_at=lambda port: replace(self_pull, tls_port=port).run_at(self_pull.address),
    )
    return Crew(config.box.workers, handout)


def make_dns_settings(
    config: Config,
    place: BlobPlace,
    surroundings: Surroundings,
    servers: tuple[tuple[str, int], ...],
    port: int,
) -> Settings:
    """What the DNS process needs to know."""
    return Settings(
        state_dir=str(config.state_dir),
        port=port,
        intercepted=(config.origin.name,),
        blob_host=config.blobs.host,
        upstream=servers,
        listen=tuple(map(str, config.box.listen)),
        box_address=str(config.box.address or ""),
        blob_addresses=(*place.configured.v4, *place.configured.v6),
        blob_announced=place.announced,
        is_blob_host_published=place.is_published,
        allow=surroundings.networks(),
        ttl_seconds=config.dns.ttl_seconds,
        questions_per_minute=config.dns.questions_per_minute,
    )


class LeafKeeper:
    """The certificate of the moment, renewed when a third of its life is left."""

    def __init__(self, authority: Authority, names: tuple[str, ...]) -> None:
        self._authority = authority
        self._names = names
        self._leaf = self._issue()

    def current(self) -> Leaf:
        return self._leaf

    def renew_when_due(self) -> None:
        """Issue a new one if it is time; connections under way keep the old one."""
        if self._leaf.is_due(datetime.now(UTC)):
            self._leaf = self._issue()

    def _issue(self) -> Leaf:
        return self._authority.issue(self._names, now=datetime.now(UTC))
