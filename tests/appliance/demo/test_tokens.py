"""Tokens: for those whose key the registry knows, and only for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.demo.credentials import ClientKey
from appliance.demo.outside import Outside
from appliance.demo.tokens import Challenge, parse_challenge, sign_token_request
from tests.appliance.demo.conftest import Asking


def test_a_challenge_is_read() -> None:
    field = 'Bearer realm="https://r.test/token",service="s",scope="a b"'
    assert parse_challenge(field) == Challenge("https://r.test/token", "s", "a b")


@given(field=st.text() | st.text().map(lambda text: f"Bearer {text}"))
def test_nonsense_is_a_challenge_without_fields(field: str) -> None:
    assert isinstance(parse_challenge(field), Challenge)


def test_the_url_sorts_its_query_and_repeats_scopes() -> None:
    url = Challenge("https://r.test/token", "s:1", "a b").url(5, "n")
    assert url == "https://r.test/token?nonce=n&scope=a&scope=b&service=s%3A1&ts=5"


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_signed_request_of_a_known_key_gets_a_token(
    ask: Asking, plain: Outside, *, is_known: bool
) -> None:
    key = ClientKey()
    if is_known:
        plain.tokens.keys_allowed.add(key.public_key)
    url = Challenge("http://registry.ollama.ai/token", "demo").url(5, "n")
    signed = sign_token_request(key, url)
    target = url.removeprefix("http://registry.ollama.ai")
    assert (await ask(plain.registry, target, Authorization=signed)).status == (
        200 if is_known else 401
    )
    other = target.replace("ts=5", "ts=6")
    assert (await ask(plain.registry, other, Authorization=signed)).status == 401
    assert (await ask(plain.registry, target)).status == 401
