"""Speeds are what the tally moved by, over the time that it took."""

from appliance.cache.speeds import SPEEDS_MAX, Speed, Speeds
from appliance.cache.tally import Count, Tally


def test_a_speed_is_what_moved_since_the_last_look() -> None:
    tally = Tally()
    tally.add(Count.SERVED_BYTES, 5000)  # Before anybody looked: of no second that is known.
    speeds = Speeds(tally)
    speeds.look(10.0)
    assert not speeds.kept
    tally.add(Count.SERVED_BYTES, 3000)
    tally.add(Count.FETCHED_BYTES, 1000)
    speeds.look(12.0)
    speeds.look(13.0)
    assert speeds.kept == (Speed(1500.0, 500.0), Speed(0.0, 0.0))


def test_two_looks_at_one_moment_are_one() -> None:
    tally = Tally()
    speeds = Speeds(tally)
    speeds.look(10.0)
    tally.add(Count.SERVED_BYTES, 7)
    speeds.look(10.0)
    speeds.look(11.0)
    assert speeds.kept == (Speed(7.0, 0.0),)


def test_the_oldest_go_first() -> None:
    tally = Tally()
    speeds = Speeds(tally)
    for second in range(SPEEDS_MAX + 2):
        speeds.look(float(second))
        tally.add(Count.SERVED_BYTES, second)
    assert len(speeds.kept) == SPEEDS_MAX
    assert speeds.kept[0] == Speed(1.0, 0.0)
