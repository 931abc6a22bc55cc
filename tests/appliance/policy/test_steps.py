"""The steps of setting a box up: one next, none out of turn, and each with what to type."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.steps import Standing, State, list_steps

NEW = Standing(
    is_service=False,
    health=None,
    leads_machines=False,
    url="http://192.168.1.5",
    served_bytes=0,
    blobs_missing=False,
    has_password=True,
)
STANDINGS = st.builds(
    Standing,
    st.booleans(),
    st.sampled_from([None, "healthy", "degraded", "unhealthy"]),
    st.booleans(),
    st.just("http://192.168.1.5"),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("standing", "typed"),
    [
        (NEW, "make run"),
        (replace(NEW, is_service=True), "systemctl enable --now ollama-appliance"),
        (replace(NEW, health="unhealthy"), "ollama-appliance doctor"),
        (replace(NEW, health="degraded"), "ollama-appliance dns snippets"),
        (
            replace(NEW, health="healthy", leads_machines=True),
            "on one: curl -fsS http://192.168.1.5/install.sh | sudo sh -s -- --trust",
        ),
    ],
)
def test_what_to_type_next_depends_on_what_is_done(standing: Standing, typed: str) -> None:
    (step,) = [each for each in list_steps(standing) if each.state is State.NEXT]
    assert step.lines[0] == typed


def test_of_a_box_in_use_nothing_is_left_but_choices() -> None:
    used = replace(NEW, health="healthy", leads_machines=True, served_bytes=1)
    assert {each.state for each in list_steps(used)} == {State.DONE}
    choices = list_steps(replace(used, blobs_missing=True, has_password=False))[-2:]
    assert [each.state for each in choices] == [State.CHOICE, State.CHOICE]
    assert choices[0].lines == ("ollama-appliance blob-address",)


@given(standing=STANDINGS)
def test_there_is_one_next_step_or_none_and_each_open_one_says_what_to_type(
    standing: Standing,
) -> None:
    steps = list_steps(standing)
    states = [each.state for each in steps]
    assert states.count(State.NEXT) <= 1
    if State.LATER in states:
        assert State.NEXT in states[: states.index(State.LATER)]
    assert all(bool(each.lines) != (each.state is State.DONE) for each in steps)
