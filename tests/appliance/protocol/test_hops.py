"""What goes on to the next hop and what stays behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.hops import forward_request, forward_response

KEPT = ((b"Host", b"a"), (b"X-Own", b"1"), (b"x-own", b"2"), (b"Authorization", b"b"))
FRAMING = (b"Content-Length", b"Host", b"Transfer-Encoding")
NAMES = st.sampled_from(
    (b"Connection", b"TE", b"X-Own", b"X-Other", b"Forwarded", b"X-Forwarded-For", *FRAMING)
)
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from((b"", b"close", b"x-own, HOST", b"te ,,")))).map(
    tuple
)


@pytest.mark.parametrize(
    "name",
    [
        *(b"Connection", b"connection", b"Keep-Alive", b"TE", b"Trailer", b"Upgrade"),
        *(b"Proxy-Connection", b"Proxy-Authenticate", b"PROXY-AUTHORIZATION"),
    ],
)
def test_what_concerns_one_connection_stays_behind(name: bytes) -> None:
    fields = (*KEPT, (name, b"x"))
    assert forward_request(fields) == forward_response(fields) == KEPT


def test_what_connection_nominates_stays_behind() -> None:
    fields = (*KEPT, (b"Connection", b"close, X-Own "), (b"connection", b"authorization"))
    assert forward_request(fields) == forward_response(fields) == ((b"Host", b"a"),)


@pytest.mark.parametrize("name", FRAMING)
def test_what_frames_a_message_cannot_be_nominated_away(name: bytes) -> None:
    fields = ((b"Connection", name), (name, b"1"))
    assert forward_request(fields) == forward_response(fields) == ((name, b"1"),)


@pytest.mark.parametrize("name", [b"Forwarded", b"X-Forwarded-For", b"x-FORWARDED-anything"])
def test_claims_about_who_asks_stay_behind_in_requests_only(name: bytes) -> None:
    fields = (*KEPT, (name, b"x"))
    assert forward_request(fields) == KEPT
    assert forward_response(fields) == fields


@given(FIELDS)
def test_what_goes_on_goes_on_in_its_order_and_as_it_came(
    fields: tuple[tuple[bytes, bytes], ...],
) -> None:
    forwarded = forward_request(fields)
    rest = iter(fields)
    assert all(pair in rest for pair in forwarded)
    assert forward_request(forwarded) == forwarded
    assert [pair for pair in forwarded if pair[0] in FRAMING] == [
        pair for pair in fields if pair[0] in FRAMING
    ]
