"""Tokens: ours are read, and nothing else is."""

import base64
import json
from dataclasses import dataclass, field

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.roles import Role
from appliance.tokens import TOKEN_LENGTH_MAX, TokenInvalidError, Tokens

SECRET = b"s" * 32


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Desk:
    clock: Clock = field(default_factory=Clock)
    revoked: set[str] = field(default_factory=set)

    def tokens(self, secret: bytes = SECRET) -> Tokens:
        return Tokens(secret, now=self.clock, is_revoked=lambda token: token in self.revoked)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_token_tells_who_and_what(desk: Desk) -> None:
    token, issued = desk.tokens().issue("backup script", Role.OPERATOR, 60)
    assert desk.tokens().read(token) == issued
    assert (issued.name, issued.role, issued.expires_at) == (
        "backup script",
        Role.OPERATOR,
        1_700_000_060,
    )


def test_a_token_ends_to_the_second(desk: Desk) -> None:
    token, _ = desk.tokens().issue("x", Role.VIEWER, 60)
    desk.clock.now += 59.9
    desk.tokens().read(token)
    desk.clock.now += 0.1
    with pytest.raises(TokenInvalidError, match="expired"):
        desk.tokens().read(token)


def test_a_revoked_token_is_over(desk: Desk) -> None:
    token, issued = desk.tokens().issue("x", Role.ADMIN, 60)
    desk.revoked.add(issued.token_id)
    with pytest.raises(TokenInvalidError, match="revoked"):
        desk.tokens().read(token)


def test_another_box_s_token_is_none(desk: Desk) -> None:
    token, _ = desk.tokens(b"t" * 32).issue("x", Role.ADMIN, 60)
    with pytest.raises(TokenInvalidError):
        desk.tokens().read(token)


def test_a_token_without_a_signature_is_none(desk: Desk) -> None:
    claims = {"iss": "ollama-appliance", "sub": "x", "role": "admin", "jti": "1", "exp": 2**40}
    unsigned = jwt.encode(claims, "", algorithm="none")
    with pytest.raises(TokenInvalidError):
        desk.tokens().read(unsigned)


def test_a_role_that_was_raised_by_hand_is_found_out(desk: Desk) -> None:
    token, _ = desk.tokens().issue("x", Role.VIEWER, 60)
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["role"] = "admin"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    with pytest.raises(TokenInvalidError):
        desk.tokens().read(f"{head}.{forged}.{signature}")


@given(st.text(max_size=300) | st.just("x" * (TOKEN_LENGTH_MAX + 1)))
def test_no_text_is_an_error_of_another_kind(text: str) -> None:
    with pytest.raises(TokenInvalidError):
        Desk().tokens().read(text)
