"""What the box says of itself, by real requests."""

import json

import pytest

from appliance.policy.delivery import Delivery
from appliance.policy.grants import Grant
from appliance.policy.health import Check
from appliance.policy.learning import Subject
from appliance.policy.roles import Role
from appliance.protocol.digest import digest_of
from appliance.protocol.reference import Repository
from tests.appliance.web.conftest import Door, OpenDoor, request
from tests.appliance.web.test_models import KEYS
from tests.appliance.web.test_stats import KNOWN, OURS
from tests.fakes.registry import NOON

LAYER = b"a" * 1500


async def pull(door: Door, name: str) -> None:
    door.shop.keep(name, LAYER)
    answer = await door.ask(f"/v2/library/{name}/manifests/latest", "User-Agent: ollama/0.12.6")
    assert answer.status == 200


async def test_health_has_a_word_a_time_and_each_check(door: Door) -> None:
    assert await door.document("/health") == {
        "status": "healthy",
        "time": "2023-11-14T22:13:20Z",
        "checks": {"dns": {"ok": True, "detail": "answers"}},
        "version": "0.1.0",
        "state_dir": "state",
    }


@pytest.mark.parametrize(
    ("check", "status", "word", "text"),
    [
        ("dns", 503, "unhealthy", b"FAIL\n"),
        ("upstream", 200, "degraded", b"OK\n"),
    ],
)
async def test_health_is_503_only_while_clients_would_fail(
    door: Door, check: str, status: int, word: str, text: bytes
) -> None:
    door.checks[check] = Check(is_ok=False, detail="no")
    answer = await door.ask("/health")
    assert answer.status == status
    assert f'"status": "{word}"'.encode() in answer.body
    plain = await door.ask("/health", "Accept: text/plain")
    assert (plain.status, plain.body) == (status, text)


async def test_live_is_whoever_answers_and_ready_is_who_may_be_used(door: Door) -> None:
    for path in ("/health/live", "/health/ready"):
        found = await door.ask(path)
        assert (found.status, found.body) == (200, b"OK\n")
    door.checks["upstream"] = Check(is_ok=False, detail="away")
    assert (await door.ask("/health/ready")).status == 200
    door.checks["dns"] = Check(is_ok=False, detail="silent")
    assert (await door.ask("/health/live")).status == 200
    found = await door.ask("/health/ready")
    assert (found.status, found.body) == (503, b"dns: silent\nupstream: away\n")


async def test_a_box_that_was_never_checked_is_not_healthy(door: Door) -> None:
    door.checks.clear()
    assert (await door.ask("/health")).status == 503


async def test_models_are_an_array_and_empty_at_first(door: Door) -> None:
    assert await door.document("/api/models") == []
    await pull(door, "tiny")
    (model,) = await door.document("/api/models")
    assert set(model) == KEYS
    assert (model["name"], model["size"], model["complete"]) == ("tiny", 1500, True)
    url = model["manifest_url"]
    assert url == f"http://127.0.0.1:{door.port}/v2/library/tiny/manifests/latest"


async def test_models_can_be_searched_and_limited(door: Door) -> None:
    for name in ("tiny", "tinier", "large"):
        await pull(door, name)
    assert len(await door.document("/api/models?q=TIN")) == 2
    assert len(await door.document("/api/models?q=tin&limit=1")) == 1
    assert await door.document("/api/models?limit=0") == []
    assert len(await door.document("/api/models?limit=999999999")) == 3
    assert await door.document("/api/models?q=%00%ff%22") == []


@pytest.mark.parametrize("limit", ["", "-1", "a", "1e3", "%D9%A1", "9999999999"])
async def test_an_odd_limit_is_refused(door: Door, limit: str) -> None:
    assert (await door.ask(f"/api/models?limit={limit}")).status == 400


async def test_info_has_the_keys_that_scripts_know(door: Door) -> None:
    await pull(door, "tiny")
    assert await door.document("/api/info") == {
        "server": "ollama-appliance",
        "version": "0.1.0",
        "server_version": "0.1.0",
        "models_dir": "state",
        "models_directory": "state",
        "models": 1,
        "total_models": 1,
        "model_count": 1,
        "total_size_bytes": 1500,
        "server_ips": ["10.0.0.5"],
        "uptime_seconds": 90,
        "modes": ["dns", "plain", "proxy", "direct"],
        "registry": "registry.ollama.ai",
        "ca_fingerprint": "AB:CD",
        "paused": False,
        "prefetches": [],
        "learnt": [],
    }


async def test_info_tells_what_was_learnt(door: Door) -> None:
    learning = door.shop.cache.books.learning
    subject = Subject("192.168.1.20", (0, 36, 0), Delivery.TLS)
    learning.note_given(
        subject, Grant(digest_of(LAYER), Repository("library", "tiny"), 1), NOON - 60
    )
    learning.missed(subject.client_address, subject.version, None, NOON)
    (lesson,) = (await door.document("/api/info"))["learnt"]
    assert (lesson["client"], lesson["version"], lesson["missed"]) == (
        *("192.168.1.20", "0.36.0", "tls"),
    )


async def test_a_box_without_dns_does_not_offer_it(open_door: OpenDoor) -> None:
    async with open_door(dns_port=None, proxy_port=None) as door:
        assert (await door.document("/api/info"))["modes"] == ["plain", "direct"]


async def test_statistics_count_what_was_served(door: Door) -> None:
    await pull(door, "tiny")
    async with door.dial() as wire:  # One connection: asked again once the first is counted.
        blob = await wire.ask(request(door.shop.grant("tiny", LAYER)))
        assert blob.body == LAYER
        told = json.loads((await wire.ask(request("/cache/stats"))).body)
    assert set(told) >= KNOWN | OURS
    assert (told["blob_count"], told["manifest_count"]) == (1, 1)
    assert (told["hits"], told["served_bytes"], told["saved_bytes"]) == (1, 1500, 1500)
    assert told["by_day"]["2023-11-14"]["hits"] == 1


async def test_urls_never_come_from_the_host_field(door: Door) -> None:
    await pull(door, "tiny")
    for target in ("/", "/api/models", "/api/info"):
        async with door.dial() as wire:
            answer = await wire.ask(f"GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
        assert b"evil" not in answer.body


async def test_what_each_machine_was_given_is_for_viewers(open_door: OpenDoor) -> None:
    async with open_door() as door:
        books = door.shop.cache.books
        for address, size_bytes in (("10.0.0.1", 5), ("10.0.0.2", 7)):
            books.clients.note_pull(address)
            books.clients.note_served(address, size_bytes)
        assert (await door.ask("/api/clients")).status == 401
        token = door.desk.token(Role.VIEWER)
        answer = await door.ask("/api/clients", f"Authorization: Bearer {token}")
    assert json.loads(answer.body) == [
        {"client_ip": "10.0.0.2", "bytes_served": 7, "pulls": 1},
        {"client_ip": "10.0.0.1", "bytes_served": 5, "pulls": 1},
    ]
