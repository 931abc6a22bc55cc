"""Targets: what the newest clients refuse, wherever on a pull they are sent there."""

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.habits import BEFORE_0_35_2, NEWEST, Habits
from appliance.demo.outside import CDN_NAME, Outside
from appliance.demo.targets import Targets
from appliance.demo.urls import parse_url
from appliance.demo.wire import Dialer
from tests.appliance.demo.conftest import pull, replace_blob_answers
from tests.appliance.demo.tunnels import open_proxy

PUBLIC = "203.0.113.10"
REGISTRY = parse_url("https://registry.ollama.ai/v2/library/tiny")


@pytest.mark.parametrize(
    ("habits", "is_blocked"), [(Habits(), False), (BEFORE_0_35_2, True), (NEWEST, True)]
)
def test_what_is_no_blob_stays_on_its_host(
    outside: Outside, habits: Habits, *, is_blocked: bool
) -> None:
    targets = Targets(Dialer(outside.surroundings), habits, REGISTRY)
    assert targets.may_follow(parse_url("https://registry.ollama.ai/elsewhere"))
    assert targets.may_follow(parse_url("https://ollama.com/v2/"))
    if not is_blocked:
        assert targets.may_follow(parse_url("https://blobs.cdn.test/x"))
        return
    for other in ("https://blobs.cdn.test/x", "https://notollama.com/x"):
        with pytest.raises(PullError, match="blocked redirect to a different host"):
            targets.may_follow(parse_url(other))


@pytest.mark.parametrize(
    ("addresses", "is_refused"),
    [
        ((PUBLIC,), False),
        (("2001:db8::10",), False),
        ((PUBLIC, "2001:db8::10"), False),
        (("10.0.0.1",), True),
        (("10.0.0.1", "2001:db8::10"), True),
        ((PUBLIC, "fd00::1"), True),
    ],
    ids=str,
)
async def test_every_record_must_be_public(
    outside: Outside, tmp_path: Path, addresses: tuple[str, ...], *, is_refused: bool
) -> None:
    outside.names.zone[CDN_NAME] = addresses
    routes = dict.fromkeys(addresses, outside.cdn.address)
    client = Client(tmp_path / "client", replace(outside.surroundings, routes=routes), NEWEST)
    if is_refused:
        with pytest.raises(PullError, match=f"{CDN_NAME} resolves to non-public"):
            await pull(client)
    else:
        assert (await pull(client)).sha256_ok


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("https://registry.ollama.ai/x", "registry.ollama.ai resolves to non-public 127.0.0.1"),
        ("http://blobs.cdn.test/x", "http after https"),
    ],
)
async def test_a_redirect_of_a_part_is_judged_like_the_first(
    outside: Outside, tmp_path: Path, target: str, sentence: str
) -> None:
    outside.names.zone[CDN_NAME] = (PUBLIC,)
    surroundings = replace(outside.surroundings, routes={PUBLIC: outside.cdn.address})

    async def lead_on(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    outside.cdn.answer = lead_on
    with pytest.raises(PullError, match=f"^redirect target not allowed: {sentence}$"):
        await pull(Client(tmp_path / "client", surroundings, NEWEST))


async def test_nothing_is_judged_after_a_registry_in_the_clear(
    plain: Outside, tmp_path: Path
) -> None:
    client = Client(tmp_path / "client", plain.surroundings, NEWEST)
    assert (await pull(client, insecure=True)).sha256_ok


async def test_a_name_that_only_the_proxy_knows_is_the_proxys_to_resolve(
    outside: Outside, tmp_path: Path
) -> None:
    """And one that resolves to a private address here is refused all the same."""
    places = {
        "registry.ollama.ai:443": (outside.registry.address, outside.registry.port),
        outside.cdn.authority: (outside.cdn.address, outside.cdn.port),
    }
    del outside.names.zone[CDN_NAME]
    async with open_proxy(places) as proxy:
        surroundings = replace(outside.surroundings, https_proxy=("127.0.0.1", proxy.port))
        assert (await pull(Client(tmp_path / "one", surroundings, NEWEST))).sha256_ok
        assert set(proxy.asked) == set(places)
        outside.names.zone[CDN_NAME] = ("192.168.1.5",)
        with pytest.raises(PullError, match=f"{CDN_NAME} resolves to non-public 192.168.1.5"):
            await pull(Client(tmp_path / "other", surroundings, NEWEST))


async def test_without_a_proxy_a_name_must_resolve(outside: Outside, tmp_path: Path) -> None:
    del outside.names.zone[CDN_NAME]
    with pytest.raises(PullError, match=f"lookup {CDN_NAME} on .*: no such host"):
        await pull(Client(tmp_path / "client", outside.surroundings, NEWEST))


async def test_a_part_from_the_registry_itself_is_asked_for_as_ollama(
    outside: Outside, tmp_path: Path
) -> None:
    """Releases up to 0.3.0: no question where, the token with every part, redirects each time."""
    habits = Habits(version="0.3.0", direct_statuses=frozenset(), part_bytes_min=100_000, pace=100)
    assert (await pull(Client(tmp_path / "client", outside.surroundings, habits))).sha256_ok
    asked = outside.ledger.requests("GET", "/blobs/", "registry")
    assert {each.field("User-Agent") for each in asked} == {habits.user_agent}
    assert {each.field("Range") for each in asked[:3]} == {
        f"bytes={start}-{start + 99_999}" for start in (0, 100_000, 200_000)
    }
    assert len(outside.ledger.requests("GET", site="cdn")) == len(asked)


async def test_that_release_minds_the_status_of_a_part(outside: Outside, tmp_path: Path) -> None:
    habits = Habits(direct_statuses=frozenset(), pace=1000)

    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=503, body=bytes(1_000_000))

    replace_blob_answers(outside, "GET", refuse)
    with pytest.raises(PullError, match=r"^max retries exceeded: 503: $"):
        await pull(Client(tmp_path / "client", outside.surroundings, habits))
