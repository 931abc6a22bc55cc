"""What Linux shows of its addresses and routes, as it shows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.linux_tables import Standing, parse_gateways, parse_standings

ADDRESSES = """\
20010db8000100000000000000000005 02 40 00 80     eth0
20010db800010000d1ab3cfa04b11f21 02 40 00 01     eth0
20010db8000200000000000000000005 02 40 00 20     eth0
20010db8000300000000000000000005 02 40 00 40     eth0
20010db8000300000000000000000006 02 40 00 c8     eth0
fe800000000000000001000000000001 04 40 20 80     eth1
"""
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t00000000\tFE01A8C0\t0003\t0\t0\t20\t00000000\t0\t0\t0
eth0\t00000000\t0501A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
eth1\t00000000\t0100000A\t0003\t0\t0\t100\t00000080\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0
"""


def test_each_address_stands_as_its_flags_say() -> None:
    assert parse_standings(ADDRESSES) == {
        ("eth0", "2001:db8:1::5"): Standing.LASTING,
        ("eth0", "2001:db8:1:0:d1ab:3cfa:4b1:1f21"): Standing.FLEETING,
        ("eth0", "2001:db8:2::5"): Standing.FLEETING,
        ("eth0", "2001:db8:3::5"): Standing.UNUSABLE,
        ("eth0", "2001:db8:3::6"): Standing.UNUSABLE,
        ("eth1", "fe80::1:0:0:1"): Standing.LASTING,
    }


def test_the_router_is_that_of_the_best_default_route_that_is_up() -> None:
    assert parse_gateways(ROUTES) == {"eth0": "192.168.1.254"}


@pytest.mark.parametrize("parse", [parse_standings, parse_gateways])
@given(
    text=st.text()
    | st.sampled_from([ADDRESSES, ROUTES]).flatmap(
        lambda table: st.tuples(st.integers(0, len(table)), st.text(max_size=3)).map(
            lambda cut: table[: cut[0]] + cut[1] + table[cut[0] + 1 :]
        )
    )
)
def test_no_text_is_too_odd(parse: object, text: str) -> None:
    assert callable(parse)
    assert isinstance(parse(text), dict)
