"""Digests: both spellings in, one spelling out, anything else a verdict."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.digest import Digest, digest_of, parse_digest
from appliance.protocol.errors import DigestInvalid

HEX = "ab" * 32


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha256-{HEX}", f"sha256:{HEX.upper()}"])
def test_every_spelling_is_the_same_digest(text: str) -> None:
    assert parse_digest(text) == Digest(HEX)


@given(st.text() | st.from_regex(r"sha256[:-][0-9a-f]{63,65}"))
def test_any_text_is_a_digest_or_a_verdict(text: str) -> None:
    try:
        digest = parse_digest(text)
    except DigestInvalid:
        return
    assert str(digest) == text.lower().replace("-", ":")


@given(st.binary())
def test_a_digest_names_its_bytes(content: bytes) -> None:
    assert digest_of(content).encoded == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("encoded", ["", "ab" * 31, "AB" * 32, "../" * 21 + "a"])
def test_a_digest_cannot_be_built_wrong(encoded: str) -> None:
    with pytest.raises(ValueError, match="not 64"):
        Digest(encoded)
