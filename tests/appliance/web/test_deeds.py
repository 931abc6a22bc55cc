"""Deeds over HTTP: what they answer, and that each leaves its line."""

import json

import pytest

from appliance.policy.roles import Role
from tests.appliance.web.conftest import Door
from tests.appliance.web.test_views import LAYER, pull


def admin(door: Door) -> str:
    return f"Authorization: Bearer {door.desk.token(Role.ADMIN)}"


async def test_a_model_is_let_go_of_and_the_line_says_by_whom(door: Door) -> None:
    await pull(door, "tiny")
    answer = await door.post("/api/v1/rm", b'{"model": "tiny"}', admin(door))
    assert json.loads(answer.body)["models"] == ["tiny"]
    assert await door.document("/api/models") == []
    ((who, where, what, outcome),) = door.desk.notes
    assert (who, where, outcome) == ("somebody", "127.0.0.1", "done")
    assert what == 'rm {"model": "tiny"}'
    assert json.loads(answer.body)["freed_bytes"] in (0, len(LAYER))


async def test_a_form_of_the_page_is_a_wish_too(door: Door) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    answer = await door.post("/api/v1/pin", b"model=tiny%3A1b", form, admin(door))
    assert (answer.status, answer.fields["Location"]) == (303, "/?done=pin#models")
    assert door.shop.store.pins() == {"library/tiny:1b"}


async def test_what_cannot_be_done_says_why_and_what_to_type(door: Door) -> None:
    answer = await door.post("/api/v1/rm", b'{"model": "absent"}', admin(door))
    assert answer.status == 409
    assert json.loads(answer.body)["hint"] == "see what is: ollama-appliance models"
    assert door.desk.notes[0][3] == "refused: library/absent:latest is not held"


@pytest.mark.parametrize("body", [b"[", b"[]", b"7", b"null", b'"x"', b"\xff"])
async def test_what_is_no_object_is_no_wish(door: Door, body: bytes) -> None:
    assert (await door.post("/api/v1/rm", body, admin(door))).status == 400


@pytest.mark.parametrize(
    "body", [b"{}", b'{"model": 5}', b'{"model": "a/b/c"}', b'{"model": "tiny", "dry_run": 1}']
)
async def test_a_wish_that_cannot_be_meant_is_refused(door: Door, body: bytes) -> None:
    answer = await door.post("/api/v1/rm", body, admin(door))
    assert answer.status == 409
    assert json.loads(answer.body)["hint"]


async def test_a_wish_larger_than_a_few_words_is_not_read(door: Door) -> None:
    answer = await door.post("/api/v1/rm", b"x" * 70_000, admin(door))
    assert answer.status == 413
