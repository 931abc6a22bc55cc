"""Dialling: checked addresses only, URLs byte for byte, and a session that adds nothing."""

import socket

import aiohttp
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from appliance.policy.addresses import AddressRefusedError
from appliance.upstream.dialling import PATIENT, CheckedResolver, Dialling, join_location
from appliance.upstream.source import OriginMisbehavedError
from tests.appliance.upstream.origins import refuse_private

BASE = URL("https://registry.test/v2/library/tiny/blobs/sha256:00", encoded=True)

# What a URL's target may hold, and what tempts a library to write it otherwise.
targets = st.text(alphabet="az09AZ%/?=&+~ '()*!,;:@$.-_[]{}|\"<>^`\\").map("/{}".format)


def dialling(proxy: str | None = None) -> Dialling:
    return Dialling(refuse_private, "never read", proxy)


@given(targets.filter(lambda target: not target.endswith("?")))
def test_a_location_is_kept_byte_for_byte(target: str) -> None:
    assert join_location(BASE, f"https://cdn.test{target}").raw_path_qs == target


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/other?a=%2F%20b+c~d", "https://registry.test/other?a=%2F%20b+c~d"),
        ("//cdn.test:8443/x", "https://cdn.test:8443/x"),
        ("http://cdn.test/x", "http://cdn.test/x"),
        ("?x=%2f", "https://registry.test/v2/library/tiny/blobs/sha256:00?x=%2f"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x"),
    ],
)
def test_a_location_is_understood_where_it_was_said(location: str, url: str) -> None:
    assert str(join_location(BASE, location)) == url


@pytest.mark.parametrize(
    "location",
    [
        *("http://[::1", "https://cdn.test:99999/", "https://cdn.test:0/", "https://cdn.test:x/"),
        *("https://caf\xe9.test/", "https://\udcff/", f"https://{'a' * 64}.test/", "https://a..b/"),
        *("https://.test/", "https://a\\@b/", "mailto:somebody", "file:///etc/passwd"),
    ],
)
def test_a_location_that_is_no_url_is_misbehaviour(location: str) -> None:
    with pytest.raises(OriginMisbehavedError) as caught:
        join_location(BASE, location)
    assert location not in str(caught.value)


@given(st.text())
def test_any_location_is_a_url_or_misbehaviour(location: str) -> None:
    try:
        url = join_location(BASE, location)
    except OriginMisbehavedError:
        return
    assert url.host
    assert url.port


PUBLIC = ["https://cdn.test/x", "https://203.0.113.1/x", "https://[2001:db8::1]:8443/x"]
PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "[::1]"),
    *("[fd00::1]", "[fe80::1]", "[fe80::1%25eth0]", "[::ffff:127.0.0.1]", "[::]", "100.64.0.1"),
]
NO_ADDRESSES = ["2130706433", "127.1", "0177.0.0.1", "1.2.3.4.5", "256.0.0.1", "127.0.0.1."]


@pytest.mark.parametrize("url", PUBLIC)
@pytest.mark.parametrize("proxy", [None, "http://proxy.test:3128"])
async def test_a_public_url_may_be_dialled(url: str, proxy: str | None) -> None:
    await dialling(proxy).check_url(URL(url, encoded=True), secure=True)


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("proxy", [None, "http://proxy.test:3128"])
async def test_a_private_address_in_a_url_is_refused(host: str, proxy: str | None) -> None:
    with pytest.raises(AddressRefusedError):
        await dialling(proxy).check_url(URL(f"https://{host}/x", encoded=True), secure=True)


@pytest.mark.parametrize("host", NO_ADDRESSES)
async def test_a_numeral_that_only_some_take_for_an_address_is_refused(host: str) -> None:
    with pytest.raises(OriginMisbehavedError):
        await dialling().check_url(URL(f"https://{host}/x", encoded=True), secure=True)


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("http://cdn.test/x", True),
        ("ftp://cdn.test/x", False),
        ("file:///etc/passwd", False),
        ("data:text/plain,x", False),
        ("/x", False),
        ("https://user@cdn.test/x", True),
        ("https://user:secret@cdn.test/x", True),
        ("https://:secret@cdn.test/x", True),
    ],
)
async def test_other_urls_are_misbehaviour(url: str, secure: bool) -> None:
    with pytest.raises(OriginMisbehavedError) as caught:
        await dialling().check_url(URL(url, encoded=True), secure=secure)
    assert "secret" not in str(caught.value)


async def test_plain_http_is_followed_only_where_the_origin_is_no_better() -> None:
    await dialling().check_url(URL("http://cdn.test/x"), secure=False)


async def test_the_addresses_dialled_are_those_that_were_checked() -> None:
    async def resolve(host: str) -> tuple[str, ...]:
        return {"cdn.test": ("203.0.113.1", "2001:db8::1")}[host]

    found = await CheckedResolver(resolve, unchecked_host=None).resolve("cdn.test", 443)
    assert [(each["host"], each["port"], each["family"]) for each in found] == [
        ("203.0.113.1", 443, socket.AF_INET),
        ("2001:db8::1", 443, socket.AF_INET6),
    ]
    assert all(each["flags"] == socket.AI_NUMERICHOST for each in found)


async def test_a_refusal_is_not_turned_into_an_address() -> None:
    with pytest.raises(AddressRefusedError):
        await CheckedResolver(refuse_private, unchecked_host=None).resolve("10.0.0.1", 443)


async def test_only_the_proxy_that_was_named_is_resolved_by_the_system() -> None:
    resolver = CheckedResolver(refuse_private, unchecked_host="localhost")
    found = await resolver.resolve("localhost", 3128)
    assert {each["host"] for each in found} <= {"127.0.0.1", "::1"}
    await resolver.close()


@pytest.fixture
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


@pytest.mark.parametrize("proxy", [None, "http://proxy.test:3128"])
async def test_a_session_keeps_and_adds_nothing(ca_file: str, proxy: str | None) -> None:
    async with Dialling(refuse_private, ca_file, proxy).open_session() as session:
        assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
        assert not session.trust_env
        assert not session.auto_decompress
        assert session.timeout == PATIENT
        assert session.headers == {}


def test_a_body_may_take_as_long_as_it_takes() -> None:
    assert PATIENT.total is None
    assert PATIENT.sock_read is not None, "but not between two chunks of it"
    assert PATIENT.sock_connect is not None
