"""The conversation with the registry: redirects, refusals, tokens, connections kept."""

import asyncio
import time
from collections.abc import Callable

import pytest
from aiohttp import web

from appliance.demo.conversation import (
    Answer,
    Conversation,
    DeadlineError,
    Identity,
    PullError,
)
from appliance.demo.credentials import ClientKey
from appliance.demo.habits import Habits, Surroundings
from appliance.demo.ledger import Ledger
from appliance.demo.lifeline import Lifeline
from appliance.demo.models import DemoModel
from appliance.demo.outside import Outside
from appliance.demo.site import Answering, Site
from appliance.demo.urls import Url, WireError, parse_url
from appliance.demo.wire import Dialer

NOWHERE = Surroundings(dns=("127.0.0.1", 9))


def talk(surroundings: Surroundings = NOWHERE, identity: Identity | None = None) -> Conversation:
    return Conversation(Dialer(surroundings), Habits().user_agent, Lifeline(), identity)


async def ask(
    site: Site, method: str = "GET", path: str = "/", deadline: float | None = None
) -> tuple[int, bytes]:
    def exchange() -> tuple[int, bytes]:
        with (
            talk() as opened,
            opened.ask(method, local(site, path), anywhere, deadline=deadline) as answer,
        ):
            return answer.status, answer.read()

    return await asyncio.to_thread(exchange)


def local(site: Site, path: str = "/") -> Url:
    return parse_url(f"http://{site.address}:{site.port}{path}")


def anywhere(target: Url) -> bool:
    return True


def answering(**fields: str) -> Answering:
    """A server that answers `/to/STATUS/LOCATION` with that redirect, and else 200."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        parts = request.raw_path.split("/", 3)
        if parts[1] == "to":
            return web.Response(status=int(parts[2]), headers={"Location": f"/{parts[3]}"})
        return web.Response(text=request.raw_path, headers=fields)

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_where_the_client_would(status: int) -> None:
    async with Site("a.test", answering(), Ledger()) as site:
        assert await ask(site, path=f"/to/{status}/there%2F") == (200, b"/there%2F")


async def test_a_redirect_not_to_follow_is_the_answer() -> None:
    def exchange(site: Site) -> tuple[int, str | None]:
        url = local(site, "/to/307/x")
        with talk() as opened, opened.ask("GET", url, lambda target: False) as answer:
            return answer.status, answer.field("location")

    async with Site("a.test", answering(), Ledger()) as site:
        assert await asyncio.to_thread(exchange, site) == (307, "/x")


async def test_a_loop_ends() -> None:
    async def loop(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "/"})

    async with Site("a.test", loop, Ledger()) as site:
        with pytest.raises(WireError, match="stopped after 10 redirects"):
            await ask(site)
    assert site.ledger.count() == 11


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(404, "^file does not exist$"), (405, "^405: $"), (503, "^503: $")],
)
async def test_refusals_are_the_clients_sentences(status: int, sentence: str) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status)

    async with Site("a.test", refuse, Ledger()) as site:
        with pytest.raises(PullError, match=sentence):
            await ask(site, "HEAD")


async def test_connections_are_kept_while_bodies_are_read() -> None:
    ports: set[Callable[[], object] | None] = set()

    async def note(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.Response(text="body")

    def exchange(site: Site) -> None:
        with talk() as opened:
            for method in ("GET", "HEAD", "GET"):
                with opened.ask(method, local(site), anywhere) as answer:
                    answer.read()
            assert len(ports) == 1
            with opened.ask("GET", local(site), anywhere):
                pass  # The body is not read, so the connection is done.
            with opened.ask("GET", local(site), anywhere):
                pass
        assert len(ports) == 2

    async with Site("a.test", note, Ledger()) as site:
        await asyncio.to_thread(exchange, site)


async def test_a_kept_connection_that_was_closed_is_opened_anew() -> None:
    async with Site("a.test", answering(), Ledger()) as site:
        with talk() as opened:
            for _ in range(2):
                answer = await asyncio.to_thread(opened.ask, "GET", local(site), anywhere)
                with answer:
                    await asyncio.to_thread(answer.read)
                await site.go_down()
                await site.come_up()


async def test_a_deadline_ends_the_wait() -> None:
    async def never(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with Site("a.test", never, Ledger()) as site:
        with pytest.raises(WireError, match="timeout awaiting response headers"):
            await ask(site, deadline=time.monotonic() + 0.5)
        with pytest.raises(DeadlineError, match="context deadline exceeded"):
            await ask(site, deadline=time.monotonic() - 1)


async def test_every_request_is_a_clients() -> None:
    async with Site("a.test", answering(), Ledger()) as site:
        await ask(site)
        await ask(site, "HEAD")
    got, head = site.ledger.asked
    assert got.fields == (
        ("Host", f"127.0.0.1:{site.port}"),
        ("User-Agent", Habits().user_agent),
        ("Accept-Encoding", "gzip"),
    )
    assert [name for name, _ in head.fields] == ["Host", "User-Agent"]


def fetch_private(outside: Outside, identity: Identity | None) -> bytes:
    url = parse_url("https://registry.ollama.ai/v2/library/tiny/manifests/latest")
    with (
        talk(outside.surroundings, identity) as opened,
        opened.ask("GET", url, anywhere) as answer,
    ):
        return answer.read()


async def test_a_challenge_is_met_with_a_signed_request(outside: Outside, model: DemoModel) -> None:
    outside.publish(model, is_private=True)
    identity = Identity(ClientKey(), now=lambda: 1e9)
    outside.tokens.keys_allowed.add(identity.key.public_key)
    assert await asyncio.to_thread(fetch_private, outside, identity) == model.manifest
    (token,) = outside.ledger.requests("GET", "/token?")
    assert token.target.startswith("/token?nonce=")
    assert token.target.endswith("&scope=repository%3Apull&service=demo&ts=1000000000")


async def test_strangers_are_refused(outside: Outside, model: DemoModel) -> None:
    outside.publish(model, is_private=True)
    with pytest.raises(PullError, match="unauthorized: access denied"):
        await asyncio.to_thread(fetch_private, outside, None)
    stranger = Identity(ClientKey(), now=lambda: 1e9)
    with pytest.raises(PullError, match="401: unauthorized"):
        await asyncio.to_thread(fetch_private, outside, stranger)


@pytest.mark.parametrize(
    ("challenge", "sentence"),
    [
        ("", 'unsupported protocol scheme ""'),
        (
            'Bearer realm="https://evil.test/token"',
            'realm host "evil.test" does not match original host "127.0.0.1:',
        ),
    ],
)
async def test_a_token_is_asked_of_the_registry_only(challenge: str, sentence: str) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    def exchange(site: Site) -> Answer:
        with talk(identity=Identity(ClientKey(), now=lambda: 1e9)) as opened:
            return opened.ask("GET", local(site), anywhere)

    async with Site("a.test", refuse, Ledger()) as site:
        with pytest.raises((PullError, WireError), match=sentence):
            await asyncio.to_thread(exchange, site)
