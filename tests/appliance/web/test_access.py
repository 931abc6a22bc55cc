"""The gate: every route by every role, and every way to seem to be somebody else."""

import json

import pytest

from appliance.policy.roles import DEEDS, Role, may
from appliance.web.access import COOKIE_NAME
from appliance.web.app import make_events, make_routes
from tests.appliance.web.conftest import NAME, Door

WISH = b'{"model": "tiny", "bytes": 1, "dry_run": true}'


def bearer(door: Door, role: Role) -> tuple[str, ...]:
    return () if role is Role.ANYONE else (f"Authorization: Bearer {door.desk.token(role)}",)


def cookie(door: Door, role: Role) -> str:
    return f"Cookie: {COOKIE_NAME}={door.desk.token(role)}"


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("deed", list(DEEDS))
async def test_a_deed_is_done_for_those_who_may_and_for_nobody_else(
    door: Door, role: Role, deed: str
) -> None:
    answer = await door.post(f"/api/v1/{deed}", WISH, *bearer(door, role))
    if may(role, DEEDS[deed]):
        assert answer.status in (200, 409)
        assert door.desk.notes
    else:
        assert answer.status in (401, 403)
        assert door.desk.notes == []
        assert set(json.loads(answer.body)) == {"error", "hint"}


async def test_the_table_of_deeds_is_the_table_of_routes(door: Door) -> None:
    parts = door.desk.parts(door.facts, door.clear)
    routes = make_routes(parts, make_events(parts.facts))
    changing = [route for route in routes if not route.is_safe]
    expected = {f"/api/v1/{deed}": role for deed, role in DEEDS.items()}
    expected |= {"/login": Role.ANYONE, "/logout": Role.ANYONE, "/api/delete": DEEDS["rm"]}
    assert {each.path: each.needs for each in changing if not each.is_for_programs} == expected
    assert {each.needs for each in changing if each.is_for_programs} == {Role.ANYONE}
    assert {each.path for each in changing if each.is_for_programs} == {
        *("/api/pull", "/api/show", "/api/generate", "/api/chat", "/api/embed"),
        *("/api/embeddings", "/api/create", "/api/copy", "/api/push"),
    }


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_a_deed_is_done_by_post_alone(door: Door, method: str) -> None:
    answer = await door.post("/api/v1/pin", WISH, *bearer(door, Role.ADMIN), method=method)
    assert answer.status == 405
    assert door.shop.store.pins() == set()


async def test_a_session_s_own_page_may_change_something(door: Door) -> None:
    for host in ("10.0.0.5:8080", "[fd00::5]", "box.lan", "localhost"):
        lines = (cookie(door, Role.OPERATOR), f"Origin: http://{host}")
        assert (await door.post("/api/v1/pin", WISH, *lines, host=host)).status == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        pytest.param("10.0.0.5", "http://evil.example", id="another site's page"),
        pytest.param("10.0.0.5", "null", id="a sandboxed page"),
        pytest.param("10.0.0.5", None, id="no page at all"),
        pytest.param("10.0.0.5", "http://10.0.0.5:8080", id="another port's page"),
        pytest.param("10.0.0.5", "https://10.0.0.5", id="another scheme's page"),
        pytest.param("evil.example", "http://evil.example", id="a name pointed at the box"),
        pytest.param(NAME, f"http://{NAME}", id="the registry's name"),
    ],
)
async def test_a_session_does_nothing_for_a_foreign_page(
    door: Door, host: str, origin: str | None
) -> None:
    lines = (cookie(door, Role.ADMIN), *([f"Origin: {origin}"] if origin else []))
    for target in ("/api/v1/pin", "/logout", "/login"):
        assert (await door.post(target, WISH, *lines, host=host)).status == 403
    assert door.shop.store.pins() == set()


@pytest.mark.parametrize(
    "field",
    ["Bearer", "Bearer x", "Basic YTpi", "Bearer a.b.c", "bearer x", f"Bearer {3000 * 'x'}"],
)
async def test_what_is_no_token_is_refused_also_beside_a_session(door: Door, field: str) -> None:
    lines = (cookie(door, Role.ADMIN), f"Authorization: {field}", "Origin: http://10.0.0.5")
    answer = await door.post("/api/v1/pin", WISH, *lines, host="10.0.0.5")
    assert (answer.status, answer.fields["Www-Authenticate"]) == (401, "Bearer")


async def test_an_expired_session_is_nobody_s(door: Door) -> None:
    lines = (cookie(door, Role.ADMIN), "Origin: http://10.0.0.5")
    door.desk.now += 61
    assert (await door.post("/api/v1/pin", WISH, *lines, host="10.0.0.5")).status in (200, 401)


async def test_reading_needs_no_role_and_a_bad_token_does_not_hinder_it(door: Door) -> None:
    for target in ("/", "/health", "/api/models", "/api/info", "/cache/stats", "/ca.pem"):
        assert (await door.ask(target, "Authorization: Bearer x")).status == 200
