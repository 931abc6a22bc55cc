"""Meters: what was asked and answered, in few words, and times in their buckets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.delivery import Door
from appliance.registry.meters import SECONDS_BUCKETS, Histogram, Meters
from appliance.registry.requests import Answer, PassThrough, Request


def asked(target: str, door: Door = Door.HTTPS) -> Request:
    return Request(door, "GET", target, "registry.ollama.ai", None, "10.0.0.7", "10.0.0.5")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/v2/library/tiny/manifests/latest", "manifests"),
        ("/v2/library/tiny/blobs/sha256:00?x=/manifests/", "blobs"),
        ("/blobs/sha256:00?expires=1", "blobs"),
        ("/v2/library/tiny/chunksums/sha256:00", "chunksums"),
        ("/v2/", "other"),
        ("/" + "x" * 1000, "other"),
    ],
)
def test_what_was_asked_for_is_one_of_few_words(target: str, kind: str) -> None:
    meters = Meters()
    meters.note(asked(target), Answer(200), 0.1)
    assert meters.requests == {("https", kind, "200"): 1}


def test_what_passes_has_the_origin_s_status_and_not_ours() -> None:
    meters = Meters()
    meters.note(asked("/v2/", Door.PROXY), PassThrough(), 0.1)
    assert meters.requests == {("proxy", "other", "passed"): 1}


def test_answers_are_counted_by_door() -> None:
    meters = Meters()
    for door in (Door.HTTP, Door.HTTP, Door.PROXY):
        meters.note(asked("/v2/", door), Answer(200), 0.1)
    assert [meters.answered(door) for door in Door] == [0, 2, 1]


@given(st.lists(st.floats(0, 100)))
def test_a_histogram_counts_everything_once_and_cumulates(times: list[float]) -> None:
    histogram = Histogram()
    for seconds in times:
        histogram.observe(seconds)
    cumulated = histogram.cumulated()
    assert cumulated[-1] == ("+Inf", len(times))
    for end, (text, count) in zip(SECONDS_BUCKETS, cumulated, strict=False):
        assert (text, count) == (str(end), sum(seconds <= end for seconds in times))
    assert histogram.sum_seconds == pytest.approx(sum(times))
