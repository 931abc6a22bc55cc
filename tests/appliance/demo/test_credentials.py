"""Credentials: a chain that verifies, keys that sign, and nothing lying open."""

import asyncio
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.demo.credentials import ClientKey, DemoAuthority, is_signed


async def shake_hands(server: ssl.SSLContext, ca_file: Path, name: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    port = listener.sockets[0].getsockname()[1]
    try:
        context = ssl.create_default_context(cafile=ca_file)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
        writer.close()
        await writer.wait_closed()
    finally:
        listener.close()


async def test_a_client_that_has_the_authority_trusts_its_leaf(tmp_path: Path) -> None:
    authority = DemoAuthority(tmp_path)
    await shake_hands(authority.server_context(["a.test", "b.test"]), authority.ca_file, "b.test")


async def test_no_other_name_is_trusted(tmp_path: Path) -> None:
    authority = DemoAuthority(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        await shake_hands(authority.server_context(["a.test"]), authority.ca_file, "c.test")


def test_the_leaf_key_is_for_its_owner_only(tmp_path: Path) -> None:
    DemoAuthority(tmp_path).server_context(["a.test"])
    assert (tmp_path / "a.test.pem").stat().st_mode & 0o077 == 0


def test_a_signature_is_for_one_text_and_one_key() -> None:
    key, other = ClientKey(), ClientKey()
    signature = key.sign("text")
    assert is_signed(key.public_key, signature, "text")
    assert not is_signed(key.public_key, signature, "texts")
    assert not is_signed(other.public_key, signature, "text")


@given(public_key=st.text(), signature=st.text())
def test_nonsense_is_no_signature(public_key: str, signature: str) -> None:
    assert not is_signed(public_key, signature, "text")
