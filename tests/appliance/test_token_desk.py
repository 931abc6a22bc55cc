"""Tokens given out and taken back."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.policy.roles import Role
from appliance.store.store import Store, open_store
from appliance.token_desk import TokenDesk, TokenRefusedError, make_tokens
from appliance.tokens import TokenInvalidError, Tokens

NOON = 1_700_000_000.0
WISH = {"name": "backup", "role": "operator", "seconds": 60}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def tokens(store: Store) -> Tokens:
    return make_tokens(store, b"s" * 32, lambda: NOON)


@pytest.fixture
def desk(store: Store, tokens: Tokens) -> TokenDesk:
    return TokenDesk(store, tokens, now=lambda: NOON)


async def test_a_token_is_good_until_it_is_taken_back(desk: TokenDesk, tokens: Tokens) -> None:
    given = await desk.create(WISH)
    assert tokens.read(given["token"]).role is Role.OPERATOR
    (listed,) = await desk.list_tokens()
    assert (listed["id"], listed["name"]) == (given["id"], "backup")
    assert listed["expires_at"] == NOON + 60
    assert given["token"] not in str(listed)
    assert await desk.revoke({"id": given["id"]}) == {"name": "backup"}
    with pytest.raises(TokenInvalidError, match="revoked"):
        tokens.read(given["token"])
    assert await desk.list_tokens() == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 65},
        {"name": "a\nb"},
        {"role": "root"},
        {"role": "anyone"},
        {"seconds": 0},
        {"seconds": 400 * 86400},
        {"seconds": "60"},
        {"seconds": True},
    ],
)
async def test_an_odd_token_is_not_given_out(desk: TokenDesk, change: Mapping[str, Any]) -> None:
    with pytest.raises(TokenRefusedError) as caught:
        await desk.create({**WISH, **change})
    assert caught.value.hint
    assert await desk.list_tokens() == []


async def test_what_was_never_given_out_cannot_be_taken_back(desk: TokenDesk) -> None:
    with pytest.raises(TokenRefusedError, match="no token"):
        await desk.revoke({"id": "nothing"})
