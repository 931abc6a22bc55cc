"""Values: the spellings people use, and the claim that any text is a value or a ValueError."""

import ipaddress
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.values import (
    Amount,
    Endpoint,
    optional,
    parse_address,
    parse_amount,
    parse_duration,
    parse_endpoint,
    parse_host_name,
    parse_host_pattern,
    parse_network,
    parse_port,
    parse_public_addresses,
    parse_url,
)
from appliance.policy.addresses import Addresses

parse_web_url = partial(parse_url, schemes=("http", "https"))


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        pytest.param("200GiB", 200 * 2**30, id="binary"),
        pytest.param("200GB", 200 * 10**9, id="decimal"),
        pytest.param("1.5 TiB", 3 * 2**39, id="fraction and space"),
        pytest.param("10mib", 10 * 2**20, id="units in any case"),
        pytest.param("0B", 0, id="nothing"),
        pytest.param("5%", 50, id="a part"),
        pytest.param("100%", 1000, id="the whole"),
        pytest.param("0.1%", 1, id="a small part"),
    ],
)
def test_an_amount_is_so_many_bytes(text: str, size_bytes: int) -> None:
    assert parse_amount(text).bytes_of(1000) == size_bytes


@pytest.mark.parametrize(
    "text",
    [
        *("", "200", "GiB", "-1GiB", "1e3MB", "1.GB", "1 PiB", "1G", "100.1%", "5 %%"),
        pytest.param("\u0661GiB", id="digits, but not ASCII ones"),
        pytest.param("9" * 13 + "GB", id="more digits than stay exact"),
    ],
)
def test_no_amount(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # The unit says it all.
        parse_amount(text)


@given(
    number=st.decimals(0, 100, places=3, allow_nan=False),
    unit=st.sampled_from(["B", "KB", "KiB", "MiB", "GB", "GiB", "TiB", "%"]),
)
def test_an_amount_reads_what_it_writes(number: Decimal, unit: str) -> None:
    amount = Amount(number, unit)
    assert parse_amount(str(amount)) == amount


@given(percent=st.integers(0, 100), total_bytes=st.integers(0, 2**50))
def test_a_part_is_never_more_than_the_whole(percent: int, total_bytes: int) -> None:
    part = parse_amount(f"{percent}%").bytes_of(total_bytes)
    assert abs(part - total_bytes * percent / 100) <= 1
    assert 0 <= part <= total_bytes


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("30s", 30), ("5m", 300), ("2 h", 7200), ("1d", 86400)]
)
def test_a_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@given(number=st.integers(0, 10**9 - 1), unit=st.sampled_from(["", "s", "m", "h", "d"]))
def test_a_longer_unit_is_never_shorter(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") >= number


@pytest.mark.parametrize("text", ["", "s", "-1s", "1.5s", "1w", "30 S", "1h30m", "9" * 10])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # The unit says it all.
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("registry.ollama.ai", "registry.ollama.ai"),
        pytest.param("Registry.Ollama.AI.", "registry.ollama.ai", id="case and last dot go"),
        pytest.param("xn--bcher-kva.example", "xn--bcher-kva.example", id="punycode"),
    ],
)
def test_a_host_name(text: str, name: str) -> None:
    assert parse_host_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b.c",
            "a b.c",
            "box",
            "10.0.0.1",
            "b\u00fccher.example",
        ),
        pytest.param("a" * 64 + ".b", id="label over 63"),
        pytest.param(".".join(["a" * 63] * 4), id="name over 253"),
        pytest.param("*.example.com", id="wildcard"),
    ],
)
def test_no_host_name(text: str) -> None:
    with pytest.raises(ValueError, match=" "):
        parse_host_name(text)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("Ollama.COM.", "ollama.com"), ("*.HF.co", "*.hf.co"), ("*.a.b.example", "*.a.b.example")],
)
def test_a_host_pattern(text: str, pattern: str) -> None:
    assert parse_host_pattern(text) == pattern


@pytest.mark.parametrize("text", ["*", "*.", "*.com", "*.*.com", "a.*.com", "a*.b.com", "*.1.2"])
def test_no_host_pattern(text: str) -> None:
    with pytest.raises(ValueError, match=" "):
        parse_host_pattern(text)


@pytest.mark.parametrize(
    ("text", "endpoint", "spelled"),
    [
        ("9.9.9.9", Endpoint("9.9.9.9", 53), "9.9.9.9:53"),
        ("9.9.9.9:5353", Endpoint("9.9.9.9", 5353), "9.9.9.9:5353"),
        ("2620:fe::fe", Endpoint("2620:fe::fe", 53), "[2620:fe::fe]:53"),
        ("[2620:fe::fe]", Endpoint("2620:fe::fe", 53), "[2620:fe::fe]:53"),
        ("[2620:fe::fe]:5353", Endpoint("2620:fe::fe", 5353), "[2620:fe::fe]:5353"),
        pytest.param("fe80::1%eth0", Endpoint("fe80::1%eth0", 53), "[fe80::1%eth0]:53", id="scope"),
    ],
)
def test_an_endpoint(text: str, endpoint: Endpoint, spelled: str) -> None:
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == spelled


@pytest.mark.parametrize(
    "text",
    ["", "dns.example", "9.9.9.9:", "9.9.9.9:0", "9.9.9.9:65536", "9.9.9.9:+1", "[::1", "[::1]53"],
)
def test_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # The unit says it all.
        parse_endpoint(text)


@given(address=st.ip_addresses(), port=st.integers(1, 65535))
def test_an_endpoint_reads_what_it_writes(address: ipaddress.IPv4Address, port: int) -> None:
    endpoint = Endpoint(str(address), port)
    assert parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("text", "network"),
    [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("fd00::/8", "fd00::/8")],
)
def test_a_network(text: str, network: str) -> None:
    assert parse_network(text) == ipaddress.ip_network(network)


def test_a_network_with_host_bits_is_named_right() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/24"):
        parse_network("10.0.0.7/24")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://registry.ollama.ai", "https://registry.ollama.ai"),
        pytest.param(
            "HTTP://Mirror.Example:5000/", "http://mirror.example:5000", id="one spelling"
        ),
        ("http://localhost:5000", "http://localhost:5000"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("http://[FD00::0001]", "http://[fd00::1]"),
    ],
)
def test_a_url(text: str, url: str) -> None:
    assert parse_web_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "registry.ollama.ai", "ftp://a.b", "http://", "http://:80", "http://a.b:0"),
        *("http://a.b:x", "http://a.b/path", "http://a.b?", "http://a.b#", "http://u:p@a.b"),
        *("http://[::1", "http://a.b:1:2", "http://a b.c", "http://a.b\n", "http://a\\b.c"),
    ],
)
def test_no_url(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # Some are the standard library's own words.
        parse_web_url(text)


@given(st.text() | st.from_regex(r"https?://[^/]*(:[0-9]*)?/?", fullmatch=True))
def test_a_url_that_was_read_reads_as_itself(text: str) -> None:
    try:
        url = parse_web_url(text)
    except ValueError:
        return
    assert parse_web_url(url) == url


@pytest.mark.parametrize(
    "parse",
    [
        *(parse_amount, parse_duration, parse_host_name, parse_address, parse_endpoint),
        *(parse_network, parse_port, parse_web_url),
    ],
)
@given(text=st.text() | st.text("0123456789.:/[]%smhGiB-", max_size=20))
def test_any_text_is_a_value_or_a_value_error(parse: Callable[[str], object], text: str) -> None:
    try:
        assert parse(text) is not None
    except ValueError:
        return


def test_empty_stands_for_nothing_where_a_key_says_so() -> None:
    assert optional(parse_duration)("") is None
    assert optional(parse_duration)("1m") == 60


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", Addresses()),
        ("203.0.113.10", Addresses(("203.0.113.10",))),
        ("2001:db8::10", Addresses((), ("2001:db8::10",))),
        (" 2001:DB8::10 , 203.0.113.10,", Addresses(("203.0.113.10",), ("2001:db8::10",))),
    ],
)
def test_public_addresses(text: str, addresses: Addresses) -> None:
    assert parse_public_addresses(text) == addresses


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.168.1.10", "192.168.1.10 is private"),
        ("203.0.113.10, fd00::1", "fd00::1 is private"),
        ("100.64.0.1", "shared behind a carrier's NAT"),
        ("fe80::1", "link-local"),
        ("203.0.113.10, 203.0.113.11", "one of each kind"),
        ("box", "^$"),
        ("203.0.113.10/32", "^$"),
    ],
)
def test_what_the_newest_clients_refuse_is_no_blob_address(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_public_addresses(text)
