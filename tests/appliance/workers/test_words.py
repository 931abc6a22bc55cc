"""What is said over a line is understood as it was meant."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.cache.readers import HeldReader
from appliance.cache.tally import Tally
from appliance.policy.delivery import Door
from appliance.protocol.digest import digest_of
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.registry.requests import Request
from appliance.workers.lines import format_packet, parse_packet
from appliance.workers.words import (
    BlobHead,
    Words,
    WorkerSettings,
    format_blob_head,
    format_request,
    format_settings,
    parse_blob_head,
    parse_request,
    parse_settings,
)

REQUESTS = st.builds(Request, door=st.sampled_from(Door), is_signed_by_habit=st.booleans())


def carried(words: Words) -> Words:
    """The same as it comes out of a line."""
    return parse_packet(format_packet(words)).words


@given(REQUESTS)
def test_a_request_comes_across_whole(request: Request) -> None:
    assert parse_request(carried(format_request(request))) == request


@given(st.builds(WorkerSettings))
def test_settings_come_across_whole(settings: WorkerSettings) -> None:
    assert parse_settings(carried(format_settings(settings))) == settings


@given(st.integers(0, 2**40), st.integers(1, 2**40))
def test_a_blob_s_head_comes_across_whole(start: int, size: int) -> None:
    span = Span(start, start + size)
    reader = HeldReader(digest_of(b""), span, 2**42, -1, Tally())
    fields = {"Content-Length": str(size)}
    head = parse_blob_head(carried(format_blob_head(206, fields, reader)))
    assert head == BlobHead(206, fields, span, 2**42, CacheStatus.HIT, is_streamable=False)
