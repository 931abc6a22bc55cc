"""A declaration: the default is read like any value, and everything said of it is kept."""

from dataclasses import dataclass, fields

import pytest

from appliance.config.declaring import key
from appliance.config.kinds import number


@dataclass(frozen=True)
class Shelf:
    boards: int = key(3, number(1, 9), doc="How many.", reason="Books.")


def test_a_field_has_its_default_and_all_that_was_said() -> None:
    assert Shelf().boards == 3
    (field,) = fields(Shelf)
    assert (field.metadata["default"], field.metadata["doc"]) == (3, "How many.")
    assert field.metadata["reason"] == "Books."


def test_a_default_outside_its_kind_is_the_programmer_s_mistake() -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # What it says is for operators, elsewhere.
        key(10, number(1, 9), doc="", reason="")
