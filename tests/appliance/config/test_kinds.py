"""Kinds: what TOML and variables may hold for each, and that both come to the same value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.kinds import Kind, choice, flag, list_of, number, port, seconds, text
from appliance.config.values import parse_host_name

PORTS = list_of(port(), "a list of ports", count_min=1)
NAMES = list_of(text("a name", parse_host_name), "a list of names")

RAW = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KINDS = [flag(), number(1, 64), port(), seconds(1, 300), choice("auto", "plain"), PORTS, NAMES]


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (flag(), True, True),
        (port(), 53, 53),
        (number(1, 64), 64, 64),
        (seconds(1, 300), 30, 30),
        pytest.param(seconds(1, 300), "2m", 120, id="a duration with its unit"),
        (choice("auto", "plain"), "plain", "plain"),
        (PORTS, [80, 8080], (80, 8080)),
        (NAMES, [], ()),
    ],
)
def test_fit(kind: Kind[object], raw: object, value: object) -> None:
    assert kind.read(raw) == value


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        pytest.param(flag(), 1, id="a number is no flag"),
        pytest.param(flag(), "true", id="nor is a text"),
        pytest.param(port(), True, id="a flag is no port"),
        pytest.param(port(), "53", id="nor is a text"),
        *((port(), 0), (port(), 65536), (port(), 53.0)),
        *((seconds(1, 300), 0), (seconds(1, 300), "6m"), (seconds(1, 300), "soon")),
        *((choice("auto", "plain"), "Plain"), (choice("auto"), 1)),
        pytest.param(PORTS, 80, id="one alone is no list"),
        pytest.param(PORTS, [], id="too few"),
        pytest.param(NAMES, ["a.b", 7], id="an item of another type"),
    ],
)
def test_unfit(kind: Kind[object], raw: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # The unit says the most of it.
        kind.read(raw)


def test_an_unfit_item_is_named() -> None:
    with pytest.raises(ValueError, match="99999 is not a port, 1 to 65535"):
        PORTS.read([80, 99999])


@pytest.mark.parametrize(
    ("kind", "variable", "value"),
    [
        *(
            (flag(), "true", True),
            (flag(), "Yes", True),
            (flag(), "0", False),
            (flag(), "off", False),
        ),
        (port(), "5353", 5353),
        *((seconds(1, 300), "45", 45), (seconds(1, 300), "1m", 60)),
        pytest.param(PORTS, "80, 8080,", (80, 8080), id="spaces and a last comma go"),
        pytest.param(NAMES, "", (), id="an empty variable is an empty list"),
    ],
)
def test_a_variable_comes_to_the_same(kind: Kind[object], variable: str, value: object) -> None:
    assert kind.read(kind.lex(variable)) == value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.unit)
@given(raw=RAW, variable=st.text())
def test_anything_is_a_value_or_a_value_error(
    kind: Kind[object], raw: object, variable: str
) -> None:
    for each in (raw, kind.lex(variable)):
        try:
            kind.read(each)
        except ValueError:
            continue
