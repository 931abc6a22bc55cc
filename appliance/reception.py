"""What the verbs ask a running box, and have it do: everything behind its control socket."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from appliance.assembly import USER_AGENT
from appliance.box import Box
from appliance.control import Control
from appliance.policy.health import judge_health
from appliance.protocol.fields import format_authority
from appliance.token_desk import TokenDesk
from appliance.upkeep import read_model
from appliance.web.learnt import FORGET_LEARNT, describe_lessons
from appliance.web.models import describe_model
from appliance.web.pulling import PullRefusedError, pull_model
from appliance.web.stats import describe_scrub
from appliance.web.views import Views


def make_control(box: Box) -> Control:
    """The door by which the verbs reach this box."""
    store = box.ground.store
    desk = TokenDesk(store, box.tokens, now=time.time)

    async def forget_learnt(wish: Mapping[str, Any]) -> Any:  # A deed's shape.
        books, forgotten = box.facts.cache.books, _describe_learnt(box)
        books.learning.clear()
        await asyncio.to_thread(books.save)
        return forgotten

    wanted = dict(box.prefetcher.deeds())
    del wanted["prefetch"]  # The verb waits and is told how far it is: a story.
    deeds = {**box.upkeep.deeds(), **wanted, **desk.deeds(), FORGET_LEARNT: forget_learnt}
    audited = {name: box.audit.watch("local", "control.sock", name, deeds[name]) for name in deeds}
    questions = {**make_questions(box), "tokens": desk.list_tokens}
    return Control(store.root, questions, audited, {"prefetch": make_prefetch(box)})


def make_prefetch(box: Box) -> Callable[[Mapping[str, Any]], AsyncGenerator[Any]]:
    """Fetch `model` for everybody, in the lines of `POST /api/pull`; the last one is its end."""

    async def prefetch(wish: Mapping[str, Any]) -> AsyncGenerator[Any]:
        reference, outcome = read_model(wish.get("model")), "left"
        try:
            async with aclosing(pull_model(box.engine.cache, reference, USER_AGENT)) as lines:
                async for line in lines:
                    yield line
            outcome = "done"
        except PullRefusedError as fault:
            outcome = f"refused: {fault}"
            yield {"error": str(fault)}
        finally:
            box.audit.note("local", "control.sock", "prefetch", wish, outcome)

    return prefetch


def make_questions(box: Box) -> Mapping[str, Callable[[], Awaitable[Any]]]:
    """What the verbs may ask a running box."""

    async def models() -> Any:
        facts = box.facts
        address = (*facts.addresses(), "127.0.0.1")[0]
        rows = await asyncio.to_thread(facts.cache.books.models)
        base_url = f"http://{format_authority(address, facts.web_port, default_port=80)}"
        return [describe_model(row, base_url, facts.registry_name) for row in rows]

    async def status() -> Any:
        return await asyncio.to_thread(_describe_status, box)

    async def learnt() -> Any:
        return _describe_learnt(box)

    async def scrub() -> Any:
        return describe_scrub(box.facts.cache.scrubber.progress())

    async def verify() -> Any:
        return {"asked": box.upkeep.progress("verify")}

    async def stats() -> Any:
        return await asyncio.to_thread(Views(box.facts).describe_stats)

    return {
        "models": models,
        "status": status,
        "learnt": learnt,
        "scrub": scrub,
        "verify": verify,
        "stats": stats,
    }


def _describe_learnt(box: Box) -> list[dict[str, Any]]:
    return describe_lessons(box.facts.cache.books.learning.current(box.facts.now()))


def _describe_status(box: Box) -> dict[str, Any]:
    facts, responder = box.facts, box.engine.responder
    checks = box.checkup.checks()
    return {
        "version": facts.version,
        "pid": os.getpid(),
        "uptime_seconds": int(time.time() - facts.started_at),
        "status": judge_health(checks).value,
        "checks": {
            name: {"ok": each.is_ok, "detail": each.detail} for name, each in checks.items()
        },
        "addresses": list(facts.addresses()),
        "dns": [list(each) for each in responder.listening] if responder else [],
        "is_client_led_here": box.engine.blob_host.is_anybody_led_here(),
        "is_blob_host_wanted": box.engine.blob_host.is_needed(),
        "tls_port": facts.tls_port,
        "proxy_port": facts.proxy_port,
        "web_ports": [listener.port for listener in box.ground.web],
        "ca_fingerprint": facts.ca_fingerprint,
        "workers": [{"pid": each.pid, "port": each.port} for each in box.crew.places],
        "fills": [
            {
                "repository": str(fill.pending.repository),
                "digest": str(fill.pending.digest),
                "held_bytes": fill.pending.held.size_bytes,
                "size_bytes": fill.pending.size_bytes,
            }
            for fill in facts.cache.fills
        ],
    }
