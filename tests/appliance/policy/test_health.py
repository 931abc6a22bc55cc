"""Health: clients are sent here as long as what they need was found to work."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.health import ESSENTIAL, Check, Status, judge_health

GOOD, BAD = Check(is_ok=True, detail="fine"), Check(is_ok=False, detail="broken")

names = st.sampled_from([*sorted(ESSENTIAL), "disk", "upstream", "ca"])
checks = st.dictionaries(names, st.sampled_from([GOOD, BAD]))


def test_what_nobody_looked_at_is_not_known_to_work() -> None:
    assert judge_health({}) is Status.UNHEALTHY


def test_a_box_cut_off_from_the_internet_still_serves() -> None:
    parts = dict.fromkeys(ESSENTIAL, GOOD)
    assert judge_health(parts) is Status.HEALTHY
    assert judge_health(parts | {"upstream": BAD, "disk": BAD}) is Status.DEGRADED


@given(checks)
def test_it_is_healthy_where_all_of_it_works(found: dict[str, Check]) -> None:
    works = bool(found) and all(check.is_ok for check in found.values())
    assert (judge_health(found) is Status.HEALTHY) == works


@given(checks, st.sampled_from(sorted(ESSENTIAL)))
def test_it_is_unhealthy_without_anything_essential(found: dict[str, Check], name: str) -> None:
    assert judge_health(found | {name: BAD}) is Status.UNHEALTHY


@given(checks.filter(bool), names)
def test_mending_a_part_never_makes_it_worse(found: dict[str, Check], name: str) -> None:
    order = [Status.UNHEALTHY, Status.DEGRADED, Status.HEALTHY]
    assert order.index(judge_health(found | {name: GOOD})) >= order.index(judge_health(found))


def test_a_status_is_a_word_that_scripts_read() -> None:
    assert [str(each) for each in Status] == ["healthy", "degraded", "unhealthy"]
