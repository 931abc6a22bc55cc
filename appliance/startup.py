"""Starts the parts of the box, in the order in which they rely on one another.

Theory of operation. Each part is entered on one exit stack, after what it needs and before what
needs it, so that leaving the stack stops the doors first, suspends the fills next and closes the
store last. What cannot be had is either said and done without (a default port), or a fault with a
hint, and nothing that was started before it is left behind.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from addons.inline import find_trouble
from addons.internals import MitmproxyChangedError
from appliance.announce.standing import why_silent
from appliance.assembly import (
    USER_AGENT,
    make_blob_place,
    make_cache,
    make_crew,
    make_dns_settings,
    make_origin,
    make_pseudonym,
    make_registry,
    make_resolver,
    read_servers,
)
from appliance.audit import Audit
from appliance.blob_host import BlobHost
from appliance.box import Box, Engine
from appliance.certs import AuthorityError
from appliance.checkup import make_checkup, make_door_watch
from appliance.config import Config
from appliance.delivery.pump import Pumps
from appliance.dns.responder import DnsResponder, DnsUnavailableError
from appliance.doors import make_facts, open_doors
from appliance.ground import Ground, Say, StateUnusableError, lay_ground
from appliance.interfaces import read_gateways
from appliance.listeners import PortUnavailableError
from appliance.policy.askers import Askers
from appliance.policy.blob_addresses import BlobPlace, choose_announced
from appliance.prefetching import Prefetcher
from appliance.private_files import SecretDamagedError
from appliance.store.faults import StoreError
from appliance.surroundings import Surroundings
from appliance.token_desk import make_tokens
from appliance.upkeep import Upkeep
from appliance.upstream.builtin import BuiltinSource
from appliance.workers.desk import Desk

DNS_PORT_FALLBACK = 10053  # Where DNS goes when port 53 cannot be had and nobody chose another.

# What can keep the box from starting; each has a `hint`.
START_FAULTS = (
    AuthorityError,
    DnsUnavailableError,
    MitmproxyChangedError,
    PortUnavailableError,
    SecretDamagedError,
    StateUnusableError,
    StoreError,
)


async def start(stack: AsyncExitStack, config: Config, say: Say) -> Box:
    """Enter every part of a box on `stack`. Raises one of START_FAULTS."""
    ground = await asyncio.to_thread(lay_ground, config, say)
    stack.callback(ground.store.close)
    for listener in ground.listeners:
        stack.callback(listener.close)
    engine = await _start_engine(stack, ground, say)
    doors = make_door_watch(
        config,
        ground.authority,
        ground.store,
        engine.origin,
        now=time.time,
        answered=engine.registry.meters.answered,
        tls=ground.tls,
        proxy=ground.proxy,
        web=ground.web,
    )
    checkup = make_checkup(
        config,
        store=ground.store,
        origin=engine.origin,
        authority=ground.authority,
        leaf=ground.leaf,
        responder=engine.responder,
        surroundings=ground.surroundings,
        blob_host=engine.blob_host,
        tls_port=ground.tls.port,
        budget=engine.cache.janitor.budget,
        is_known=lambda: bool(engine.resolver.last_known(config.origin.name)),
        inline_trouble=engine.inline_trouble,
        doors=doors,
    )
    prefetcher = await stack.enter_async_context(
        Prefetcher(engine.cache, ground.store, USER_AGENT, now=time.time)
    )
    audit = Audit(ground.store.root, now=time.time)
    stack.callback(audit.close)
    box = Box(
        ground,
        engine,
        checkup,
        doors,
        make_facts(ground, engine, checkup, prefetcher),
        Upkeep(ground.store, engine.cache.janitor, engine.cache.scrubber),
        prefetcher,
        make_tokens(ground.store, ground.secret, time.time),
        audit,
        make_crew(
            config,
            ground.tls.sockets,
            ground.leaf.current,
            Desk(engine.registry, engine.resolver.resolve),
            checkup.self_pull,
            engine.pseudonym,
        ),
    )
    await open_doors(stack, box)
    return box


async def _start_engine(stack: AsyncExitStack, ground: Ground, say: Say) -> Engine:
    config, builtin, askers = ground.config, BuiltinSource(), Askers()
    place = make_blob_place(config, ground.secret)
    responder, servers = await start_dns(
        stack,
        config,
        ground.surroundings,
        place,
        say,
        note_question=lambda who: askers.note_question(who, time.monotonic()),
    )
    resolver = make_resolver(config, ground.surroundings, servers)
    pseudonym = make_pseudonym(ground.secret)
    origin = await stack.enter_async_context(make_origin(config, resolver, pseudonym))
    for digest in builtin.digests:  # So that the first self-pull is a miss, and tries a fill.
        ground.store.discard_blob(digest)
    cache = make_cache(config, ground.store, origin, builtin, time.time)
    await stack.enter_async_context(cache)
    pumps = await stack.enter_async_context(Pumps())
    blob_host = _make_blob_host(ground, askers)
    if trouble := find_trouble():
        say(f"note: {trouble}")
    registry = make_registry(
        config,
        cache,
        ground.secret,
        web_port=ground.web[0].port,
        tls_port=ground.tls.port,
        proxy_port=ground.proxy.port if ground.proxy else None,
        is_blob_host_offered=lambda request: blob_host.is_offered(
            request.client_address, request.dialled
        ),
        can_send_inline=not trouble,
        now=time.time,
    )
    return Engine(
        responder, blob_host, resolver, origin, cache, pumps, registry, pseudonym, trouble
    )


def _make_blob_host(ground: Ground, askers: Askers) -> BlobHost:
    config = ground.config
    place = make_blob_place(config, ground.secret)
    return BlobHost(
        place,
        ground.surroundings.interfaces,
        askers,
        refuse_private_from=str(config.raw("blobs", "refuse_private_from")),
        announcing=lambda: why_silent(config.state_dir, place.announced),
        announceable=choose_announced(config.blobs.address, ground.secret),
        proxy_port=ground.proxy.port if ground.proxy else None,
        read_gateways=read_gateways,
    )


async def start_dns(
    stack: AsyncExitStack,
    config: Config,
    surroundings: Surroundings,
    place: BlobPlace,
    say: Say,
    *,
    lock_dir: Path | None = None,
    note_question: Callable[[str], None] = lambda _: None,
) -> tuple[DnsResponder | None, tuple[tuple[str, int], ...]]:
    """Start DNS, and say which servers it and the box ask.

    Its lock lies in `lock_dir`, or in the state directory; `note_question` is told of each client
    that it leads here. Raises DnsUnavailableError.
    """

    async def start_at(port: int) -> tuple[DnsResponder, tuple[tuple[str, int], ...]]:
        servers = read_servers(config, surroundings, port)
        settings = make_dns_settings(config, place, surroundings, servers, port)
        settings = replace(settings, state_dir=str(lock_dir or config.state_dir))
        responder = DnsResponder(settings, note_question)
        return await stack.enter_async_context(responder), servers

    port = config.dns.port
    if not config.dns.enabled:
        return None, read_servers(config, surroundings, 0)
    try:
        return await start_at(port)
    except DnsUnavailableError as fault:
        if not config.is_default("dns", "port"):
            raise
        say(f"note: port {port} cannot be had ({fault.reason}); DNS is on {DNS_PORT_FALLBACK}")
    return await start_at(DNS_PORT_FALLBACK)
