"""What the soak calls flat."""

import pytest

from tests.soak.gauges import GROWTH_BYTES, Sample, judge_memory

MB = 1_000_000


def life(*rss_megabytes: int) -> list[Sample]:
    return [Sample(float(at), rss * MB, 10) for at, rss in enumerate(rss_megabytes)]


def test_growing_to_size_is_no_leak() -> None:
    flatness = judge_memory(life(20, 60, 100, 150, 150, 151, 150, 152, 150))
    assert flatness.is_flat
    assert flatness.peak_bytes == 152 * MB


def test_growing_on_is_one() -> None:
    assert not judge_memory(life(*range(100, 400, 10))).is_flat


@pytest.mark.parametrize(("more_bytes", "is_flat"), [(0, True), (1, False)])
def test_a_tenth_and_ten_megabytes_are_allowed(more_bytes: int, *, is_flat: bool) -> None:
    middle, last = 100 * MB, 110 * MB + GROWTH_BYTES + more_bytes
    samples = [Sample(float(at), middle if at < 6 else last, 10) for at in range(10)]
    assert judge_memory(samples).is_flat == is_flat
