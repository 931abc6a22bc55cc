"""The doors to the network, opened last: the side server, https, and the proxy way."""

import time
from contextlib import AsyncExitStack

from addons.inline import Inline
from addons.intercept import Intercept
from addons.master import Proxy
from addons.origin import OriginRoute
from addons.registry import RegistryAddon
from addons.tunnel import ProxyDoor
from appliance import __version__
from appliance.accepting import ACCEPTED_MAX, SHARED_ACCEPTED_MAX
from appliance.assembly import (
    find_roots,
    make_admission,
    make_proxy_rules,
    names_of,
)
from appliance.box import Box, Engine
from appliance.ground import Ground
from appliance.health import Checkup
from appliance.policy.turnstile import Turnstile
from appliance.prefetching import Prefetcher
from appliance.upstream.tunnel import Outlet
from appliance.web.access import Access
from appliance.web.app import Parts, make_app
from appliance.web.bounds import Site
from appliance.web.clear import ClearDoor
from appliance.web.deeds import Deeds
from appliance.web.facts import Facts
from appliance.web.login import Login
from appliance.web.metrics import Metrics


def make_facts(ground: Ground, engine: Engine, checkup: Checkup, prefetcher: Prefetcher) -> Facts:
    """What the side server shows of the box."""
    config, authority = ground.config, ground.authority
    listening = engine.responder.listening if engine.responder else ()
    return Facts(
        version=__version__,
        started_at=time.time(),
        state_dir=str(ground.store.root),
        registry_name=config.origin.name,
        blob_host=config.blobs.host,
        refuse_private_from=engine.blob_host.refuse_private_from,
        recipes=lambda: engine.blob_host.recipes() if engine.blob_host.is_needed() else (),
        ca_pem=authority.certificate_pem,
        ca_fingerprint=authority.fingerprint,
        dns_port=listening[0][1] if listening else None,
        tls_port=ground.tls.port,
        proxy_port=ground.proxy.port if ground.proxy else None,
        web_port=ground.web[0].port,
        addresses=ground.surroundings.dialled_addresses,
        checks=checkup.checks,
        cache=engine.cache,
        now=time.time,
        blob_addresses=engine.blob_host.addresses,
        prefetches=lambda: prefetcher.prefetches,
    )


def _make_web(box: Box, turnstile: Turnstile) -> Parts:
    config, engine = box.ground.config, box.engine
    return Parts(
        facts=box.facts,
        clear=ClearDoor(engine.registry, engine.pumps),
        access=Access(box.tokens, config.web.names),
        login=Login(
            box.tokens,
            config.web.admin_password_file,
            lambda who, where, outcome: box.audit.note(who, where, "login", {}, outcome),
        ),
        deeds=Deeds({**box.upkeep.deeds(), **box.prefetcher.deeds()}, box.audit.note),
        metrics=Metrics(box.facts, engine.registry.meters, lambda: read_gauges(box, turnstile)),
    )


def read_gauges(box: Box, turnstile: Turnstile) -> dict[str, float]:
    """What `/metrics` tells of parts that only the roof knows."""
    ground, engine = box.ground, box.engine
    return {
        "connections": turnstile.connection_count,
        "connections_max": turnstile.connections_max,
        "connections_refused": turnstile.refused_count,
        "bodies": engine.pumps.job_count,
        "ca_not_after_timestamp_seconds": ground.authority.not_after.timestamp(),
        "leaf_not_after_timestamp_seconds": ground.leaf.current().not_after.timestamp(),
        "dns_leads_here": float(engine.responder is not None and box.checkup.is_sound),
        "origin_reached": float(engine.origin.is_reached and engine.origin.trouble is None),
    }


async def open_doors(stack: AsyncExitStack, box: Box) -> None:
    """Enter the doors on `stack`, which closes them first."""
    ground, engine, config = box.ground, box.engine, box.ground.config
    admission = make_admission(ground.surroundings)
    app = make_app(_make_web(box, admission.turnstile))
    sockets = [each for listener in ground.web for each in listener.sockets]
    site = await stack.enter_async_context(Site(app, sockets, admission))
    route = OriginRoute(
        config.origin.url,
        config.origin.name,
        engine.resolver.resolve,
        engine.pseudonym,
        config.origin.proxy,
    )
    inline = Inline(engine.pumps)
    proxy = await stack.enter_async_context(
        Proxy(
            ground.tls.sockets,
            Intercept(names_of(config), ground.leaf.current, admission.is_allowed),
            RegistryAddon(engine.registry, route, inline),
            inline,
            admission.turnstile,
            trusted_roots=find_roots(config),
            accepted_max=SHARED_ACCEPTED_MAX if config.box.workers else ACCEPTED_MAX,
        )
    )
    if ground.proxy is not None:
        ports = frozenset(listener.port for listener in ground.web)
        rules = make_proxy_rules(config, ground.surroundings, admission, ports, engine.pseudonym)
        outlet = Outlet(engine.resolver.resolve, config.origin.proxy)
        await stack.enter_async_context(
            ProxyDoor(ground.proxy.sockets, rules, outlet, proxy, site.take)
        )
    if config.box.workers:
        await stack.enter_async_context(box.crew)
        box.checkup.looks["workers"] = box.crew.look
