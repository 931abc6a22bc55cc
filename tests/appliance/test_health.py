"""What is made of self-pulls against a tiny box whose every layer can be broken."""

import pytest

from appliance.health import Checkup
from appliance.policy.health import Check, Status, judge_health
from tests.appliance.tinybox import LOOPBACK, TinyBox


def look_well() -> Check:
    return Check(is_ok=True, detail="fine")


def statuses(checkup: Checkup) -> dict[str, bool]:
    return {name: each.is_ok for name, each in checkup.checks().items()}


async def test_before_it_was_checked_nothing_is_healthy(box: TinyBox) -> None:
    checkup = Checkup(box.self_pull(), {"disk": look_well})
    assert judge_health(checkup.checks()) is Status.UNHEALTHY
    assert statuses(checkup) == {
        "dns": False, "proxy": False, "web": False, "index": False, "pump": False,
        "disk": True,
    }  # fmt: skip
    assert not checkup.is_sound


async def test_a_sound_box_is_healthy(box: TinyBox) -> None:
    checkup = Checkup(box.self_pull(), {"disk": look_well})
    check = await checkup.run()
    assert (check.is_ok, check.detail[:6]) == (True, "pulled")
    assert judge_health(checkup.checks()) is Status.HEALTHY
    assert checkup.is_sound


async def test_the_broken_part_is_told_with_those_before_it(box: TinyBox) -> None:
    checkup = Checkup(box.self_pull(), {})
    await checkup.run()
    await box.web_runner.cleanup()
    check = await checkup.run()
    assert "our http does not serve" in check.detail
    assert statuses(checkup) == {"dns": True, "proxy": True, "web": False}
    assert not checkup.is_sound


async def test_a_broken_box_finds_itself_mended_though_dns_leads_away(box: TinyBox) -> None:
    """DNS gives the true registry's address until the box is known to be sound."""
    checkup = Checkup(box.self_pull(), {})

    async def ask_what_the_last_beat_said() -> tuple[str, ...]:
        return (LOOPBACK,) if checkup.is_sound else ("104.21.75.227",)

    box._ask = ask_what_the_last_beat_said  # type: ignore[method-assign]
    checkup.self_pull = box.self_pull()
    assert (await checkup.run()).is_ok
    box.manifest_status = 503
    assert not (await checkup.run()).is_ok
    assert not (await checkup.run()).is_ok
    assert statuses(checkup) == {"proxy": False}  # DNS was not asked.
    box.manifest_status = 200
    assert (await checkup.run()).is_ok
    assert judge_health(checkup.checks()) is Status.HEALTHY


async def test_dns_is_told_that_the_box_is_sound_before_it_is_asked(box: TinyBox) -> None:
    told: list[bool] = []
    checkup = Checkup(box.self_pull(), {}, on_sound=lambda: told.append(checkup.is_sound))

    async def ask() -> tuple[str, ...]:
        assert told == [True]
        return (LOOPBACK,)

    box._ask = ask  # type: ignore[method-assign]
    checkup.self_pull = box.self_pull()
    assert (await checkup.run()).is_ok
    assert (await checkup.run()).is_ok
    assert told == [True]


async def test_dns_that_is_broken_alone_leaves_the_box_sound(box: TinyBox) -> None:
    box.answers = [OSError("gone")]
    checkup = Checkup(box.self_pull(), {})
    assert not (await checkup.run()).is_ok
    assert checkup.is_sound
    assert judge_health(checkup.checks()) is Status.UNHEALTHY
    box.answers = [(LOOPBACK,)]
    assert (await checkup.run()).is_ok


async def test_looks_are_made_when_asked(box: TinyBox) -> None:
    found = [Check(is_ok=False, detail="full"), look_well()]
    checkup = Checkup(box.self_pull(), {"disk": lambda: found.pop()})
    assert checkup.checks()["disk"].is_ok
    assert checkup.checks()["disk"].detail == "full"


async def test_a_door_that_is_closed_counts_at_once_and_no_longer_than_it_is(box: TinyBox) -> None:
    closed: dict[str, Check] = {}
    checkup = Checkup(box.self_pull(), {}, lambda: closed)
    assert (await checkup.run()).is_ok
    closed["web"] = Check(is_ok=False, detail="our http does not open")
    assert not checkup.is_sound
    assert checkup.checks()["web"].detail == "our http does not open"
    assert judge_health(checkup.checks()) is Status.UNHEALTHY
    closed.clear()
    assert checkup.is_sound
    assert judge_health(checkup.checks()) is Status.HEALTHY


async def test_the_proxy_way_alone_closed_sends_nobody_away(box: TinyBox) -> None:
    closed = {"connect": Check(is_ok=False, detail="the proxy way does not open")}
    checkup = Checkup(box.self_pull(), {}, lambda: closed)
    assert (await checkup.run()).is_ok
    assert checkup.is_sound
    assert judge_health(checkup.checks()) is Status.DEGRADED


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        ({"manifest_status": 503}, "proxy"),
        ({"part_status": 503}, "web"),
        ({"statuses": ["ollama-appliance; fwd=uri-miss; stored"] * 99}, "index"),
        ({"sealed_status": 503}, "pump"),
    ],
)
async def test_every_part_of_a_pull_that_breaks_is_named_and_is_mended(
    box: TinyBox, broken: dict[str, object], part: str
) -> None:
    checkup = Checkup(box.self_pull(), {})
    assert (await checkup.run()).is_ok
    well = {name: getattr(box, name) for name in broken}
    vars(box).update(broken)
    assert not (await checkup.run()).is_ok
    assert [name for name, is_ok in statuses(checkup).items() if not is_ok] == [part]
    assert not checkup.is_sound
    vars(box).update(well, statuses=[])
    assert (await checkup.run()).is_ok
    assert judge_health(checkup.checks()) is Status.HEALTHY
