"""The API's description, and a walk over all of it that must leave the box standing."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appliance.policy.roles import Role
from appliance.web.app import make_events, make_routes, make_table
from appliance.web.openapi import PATH, describe_api, format_reference
from appliance.web.routes import Route
from tests.appliance.web.conftest import Door, OpenDoor, request

PAPER = Path(__file__).parents[3] / "docs" / "API.md"
VARIABLE = re.compile(r"\{[^{}]*\}")

# What is said in place of a variable, a field or a body: names, near-names and noise.
WORDS = st.sampled_from(
    ["tiny", "tiny:latest", "library/tiny", "a/b/c", "", "0", "-1", "9" * 30, "x" * 300, "..", "*"]
) | st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda each: st.lists(each, max_size=2) | st.dictionaries(WORDS, each, max_size=2),
    max_leaves=4,
)
LINES = st.sampled_from(
    [
        *("Accept: */*", "Accept: text/plain", "Accept: text/html", "Accept: ;;q=x", "Accept:"),
        *("Range: bytes=0-0", "Range: bytes=9-1", "Range: bytes=-", "If-None-Match: *"),
        *("Content-Type: text/x; charset=no-such", "Content-Encoding: gzip", "Cookie: a=b; ;="),
        *("Authorization: Bearer x", "Authorization:", "Origin: null", "User-Agent: ollama/x"),
        *("Content-Type: application/x-www-form-urlencoded", "Accept-Encoding: gzip, br"),
    ]
)


def test_the_paper_is_what_the_table_says() -> None:
    assert PAPER.read_text("utf-8") == format_reference(make_table())


async def test_the_paper_s_table_is_the_box_s(door: Door) -> None:
    def rows(routes: tuple[Route, ...]) -> list[tuple[object, ...]]:
        return [(each.method, each.path, each.doc, each.needs, each.gives) for each in routes]

    parts = door.desk.parts(door.facts, door.clear)
    assert rows(make_table()) == rows(make_routes(parts, make_events(parts.facts)))


async def test_the_document_is_served_and_lists_itself(door: Door) -> None:
    document = await door.document(PATH)
    assert document == describe_api(make_table(), door.facts.version)
    assert document["openapi"] == "3.1.0"
    assert "get" in document["paths"][PATH]


def test_the_document_is_whole() -> None:
    document = describe_api(make_table(), "1")
    named: list[str] = []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            named.append(operation["operationId"])
            in_path = {
                each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"
            }
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
            assert operation["summary"]
            assert operation["responses"]
    assert len(named) == len(set(named))
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        found: Any = document
        for step in reference.split("/"):
            found = found[step]
        assert found


def test_what_needs_a_role_says_which() -> None:
    paths = describe_api(make_table(), "1")["paths"]
    assert paths["/api/v1/rm"]["post"]["x-role"] == "admin"
    assert "security" not in paths["/api/models"]["get"]
    for route in make_table():
        operation = paths.get(route.path, {}).get(route.method.lower())
        if operation is not None:
            assert ("x-role" in operation) == (route.needs is not Role.ANYONE)


async def test_a_body_that_claims_to_be_packed_is_no_accident(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    for target in ("/api/pull", "/api/show", "/login", "/api/v1/pin"):
        token = f"Authorization: Bearer {door.desk.token(Role.ADMIN)}"
        answer = await door.post(target, b"{}", token, "Content-Encoding: gzip")
        assert answer.status in (400, 401, 403, 409)
    assert not caplog.records


@st.composite
def askings(draw: st.DrawFn, token: str) -> bytes:
    """A request of one route, odd in every part that a client chooses."""
    routes = [each for each in make_table() if each.path != "/api/events"]  # That one never ends.
    route = draw(st.sampled_from(routes))
    path = VARIABLE.sub(
        lambda _: quote(draw(WORDS), safe=draw(st.sampled_from(["", "/:"]))), route.path
    )
    said = {each.name: draw(WORDS) for each in route.query}
    said |= draw(st.dictionaries(WORDS, WORDS, max_size=1))
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in said.items())
    wish = {each.name: draw(VALUES) for each in route.body if draw(st.booleans())}
    body = draw(st.just(json.dumps(wish).encode()) | st.binary(max_size=20))
    method = route.method if route.method != "*" else draw(st.sampled_from(["GET", "POST"]))
    lines = draw(st.lists(LINES, max_size=3, unique=True))
    who = draw(st.sampled_from([(), (f"Authorization: Bearer {token}",)]))
    target = f"{path}?{query}" if query else path
    return request(target, *lines, *who, "Connection: close", method=method, body=body)


def test_no_asking_is_an_accident(open_door: OpenDoor, caplog: pytest.LogCaptureFixture) -> None:
    @given(st.data())
    @settings(
        max_examples=12,
        suppress_health_check=list(HealthCheck),
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),  # A box for each: no shrinking.
    )
    def walk(data: st.DataObject) -> None:
        asyncio.run(ask_all(data))

    async def ask_all(data: st.DataObject) -> None:
        async with open_door() as door:
            door.shop.keep("tiny", b"layer")
            token = door.desk.token(Role.ADMIN)
            for content in data.draw(st.lists(askings(token), min_size=16, max_size=16)):
                async with door.dial() as wire:
                    answer = await wire.ask(content)
                assert answer.status < 500 or answer.status == 503, content
        assert not [each for each in caplog.records if each.exc_info], caplog.text

    walk()
