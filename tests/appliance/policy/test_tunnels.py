"""Where a CONNECT may lead: ours, the list, and nowhere else, whatever is asked."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.tunnels import (
    Open,
    Refuse,
    Tunnel,
    Way,
    choose_way,
    is_covered,
    read_own_target,
)
from appliance.protocol.errors import Denied, RequestInvalid
from appliance.protocol.heads import Host, parse_host

OPENED = frozenset({"registry.ollama.ai", "ollama-blobs.home.arpa"})
TUNNELLED = ("ollama.com", "*.hf.co", "registry.ollama.ai", "10.0.0.1")

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=5).map(".".join)


def way(authority: str) -> Way:
    return choose_way(parse_host(authority), opened=OPENED, tunnelled=TUNNELLED)


@pytest.mark.parametrize("name", sorted(OPENED))
def test_names_of_ours_are_opened_even_where_the_list_has_them(name: str) -> None:
    assert way(f"{name}:443") == Open(name)
    assert way(f"{name.upper()}.:443") == Open(name)


@pytest.mark.parametrize("name", ["ollama.com", "cdn-lfs.hf.co"])
def test_names_of_the_list_are_tunnelled(name: str) -> None:
    assert way(f"{name}:443") == Tunnel(name)


@pytest.mark.parametrize(
    "authority",
    [
        *("google.com:443", "a.ollama.com:443", "ollama.com.evil.test:443", "evilollama.com:443"),
        *("hf.co:443", "a.b.hf.co:443", "ahf.co:443", "com:443", "localhost:443"),
        *("evilregistry.ollama.ai:443", "a.registry.ollama.ai:443", "ollama.ai:443"),
        pytest.param("2130706433:443", id="a numeral that some take for an address"),
        pytest.param("0x7f.1:443", id="the same in hexadecimal"),
    ],
)
def test_all_other_names_are_refused_with_the_setting_s_name(authority: str) -> None:
    refused = way(authority)
    assert isinstance(refused, Refuse)
    assert "proxy.tunnel" in refused.reason


@pytest.mark.parametrize("authority", ["ollama.com:80", "registry.ollama.ai:8443", "ollama.com"])
def test_no_other_port_is_reached(authority: str) -> None:
    assert way(authority) == Refuse("this box tunnels to port 443 only")


@given(st.ip_addresses())
def test_no_address_is_ever_tunnelled(address: ipaddress.IPv4Address) -> None:
    host = Host(str(address), 443)
    ways = choose_way(host, opened=OPENED | {str(address)}, tunnelled=(str(address),))
    assert isinstance(ways, Refuse)


@given(name=names, port=st.none() | st.integers(1, 65535))
def test_a_refusal_is_one_line_of_ascii(name: str, port: int | None) -> None:
    found = choose_way(Host(name, port), opened=OPENED, tunnelled=TUNNELLED)
    if isinstance(found, Refuse):
        assert found.reason.isascii()
        assert found.reason.isprintable()
    else:
        assert port == 443


@given(name=names, rest=names)
def test_a_wildcard_is_one_label(name: str, rest: str) -> None:
    assert is_covered(f"{name}.{rest}", f"*.{rest}") == ("." not in name)
    assert not is_covered(rest, f"*.{rest}")


def own(target: str) -> str:
    return read_own_target(
        target, addresses={"10.0.0.5", "2001:db8::5"}, ports={80, 8080}, path="/blobs/"
    )


@pytest.mark.parametrize(
    "authority",
    ["10.0.0.5", "10.0.0.5:80", "10.0.0.5:8080", "[2001:db8::5]", "[2001:DB8:0::5]:8080"],
)
def test_the_box_s_own_blob_urls_are_read(authority: str) -> None:
    assert own(f"http://{authority}/blobs/sha256:ab?g=1&s=2") == "/blobs/sha256:ab?g=1&s=2"
    assert own(f"HTTP://{authority}/blobs/x") == "/blobs/x"


@pytest.mark.parametrize(
    "target",
    [
        *("http://10.0.0.6/blobs/x", "http://10.0.0.5:81/blobs/x", "http://10.0.0.5:443/blobs/x"),
        *("https://10.0.0.5/blobs/x", "ftp://10.0.0.5/blobs/x", "//10.0.0.5/blobs/x", "/blobs/x"),
        *("http://10.0.0.5/", "http://10.0.0.5/v2/", "http://10.0.0.5/Blobs/x", "http://10.0.0.5"),
        *("http://google.com/blobs/x", "http://blobs/blobs/x", "http:///blobs/x", "*", ""),
        *("http://10.0.0.5/v2/?/blobs/", "http://10.0.0.5/blobs/x#y", "http://10.0.0.5?/blobs/x"),
    ],
)
def test_whatever_else_is_asked_in_absolute_form_is_refused(target: str) -> None:
    with pytest.raises(Denied):
        own(target)


@pytest.mark.parametrize("authority", ["a@10.0.0.5", "10.0.0.5:99999", "10.0.0.5:x", "[10.0.0.5]"])
def test_an_authority_that_cannot_be_read_is_invalid(authority: str) -> None:
    with pytest.raises(RequestInvalid):
        own(f"http://{authority}/blobs/x")


@given(st.text())
def test_whatever_is_asked_is_the_box_s_own_path_or_refused(target: str) -> None:
    try:
        assert own(target).startswith("/blobs/")
    except (Denied, RequestInvalid):
        return
