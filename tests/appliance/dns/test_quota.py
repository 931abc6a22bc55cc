"""A client's questions: a minute's worth at once, then as they refill."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.dns.quota import CLIENTS_MAX, CROWD, Quota

QUESTIONS_PER_MINUTE = 1000


def granted(quota: Quota, client: str, count: int, now: float) -> int:
    return sum(quota.take(client, now) for _ in range(count))


def test_a_burst_of_a_minute_s_worth_passes_and_no_more() -> None:
    assert (
        granted(Quota(QUESTIONS_PER_MINUTE), "10.0.0.1", 2 * QUESTIONS_PER_MINUTE, 0.0)
        == QUESTIONS_PER_MINUTE
    )


def test_clients_do_not_pay_for_each_other() -> None:
    quota = Quota(QUESTIONS_PER_MINUTE)
    granted(quota, "10.0.0.1", 2 * QUESTIONS_PER_MINUTE, 0.0)
    assert quota.take("10.0.0.2", 0.0)


def test_a_router_asks_for_a_crowd_and_no_more() -> None:
    quota = Quota(10)
    quota.routers = {"10.0.0.1"}
    assert granted(quota, "10.0.0.1", 1000, 0.0) == 10 * CROWD
    assert granted(quota, "10.0.0.1", 1000, 30.0) == 5 * CROWD
    assert granted(quota, "10.0.0.2", 1000, 0.0) == 10


def test_half_a_minute_refills_half() -> None:
    quota = Quota(QUESTIONS_PER_MINUTE)
    granted(quota, "10.0.0.1", QUESTIONS_PER_MINUTE, 0.0)
    assert granted(quota, "10.0.0.1", QUESTIONS_PER_MINUTE, 30.0) == QUESTIONS_PER_MINUTE // 2


def test_a_day_of_silence_refills_no_more_than_a_minute() -> None:
    quota = Quota(QUESTIONS_PER_MINUTE)
    quota.take("10.0.0.1", 0.0)
    assert granted(quota, "10.0.0.1", 2 * QUESTIONS_PER_MINUTE, 86400.0) == QUESTIONS_PER_MINUTE


def test_the_longest_untouched_client_is_forgotten_first() -> None:
    quota = Quota(QUESTIONS_PER_MINUTE)
    granted(quota, "first", QUESTIONS_PER_MINUTE, 0.0)
    granted(quota, "second", QUESTIONS_PER_MINUTE, 0.0)
    quota.take("first", 0.0)
    for number in range(CLIENTS_MAX - 1):
        quota.take(str(number), 0.0)
    assert not quota.take("first", 0.0)
    assert quota.take("second", 0.0)


@given(st.lists(st.floats(0, 10), max_size=200))
def test_no_window_grants_more_than_a_burst_and_its_refill(pauses: list[float]) -> None:
    quota, now, count = Quota(QUESTIONS_PER_MINUTE), 0.0, 0
    for pause in pauses:
        now += pause
        count += granted(quota, "10.0.0.1", 50, now)
    assert count <= QUESTIONS_PER_MINUTE * (1 + now / 60) + 1e-6
