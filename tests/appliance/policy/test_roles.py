"""Roles: each may all that the ones before it may, and no more."""

import pytest

from appliance.policy.roles import DEEDS, Role, may, parse_role


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.ANYONE, set[str]()),
        (Role.VIEWER, set[str]()),
        (
            Role.OPERATOR,
            {
                *("pin", "unpin", "verify", "scrub"),
                *("prefetch", "unprefetch", "pause", "resume"),
            },
        ),
        (Role.ADMIN, set(DEEDS)),
    ],
)
def test_each_role_may_do_exactly_this(role: Role, allowed: set[str]) -> None:
    assert {deed for deed, needed in DEEDS.items() if may(role, needed)} == allowed


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
def test_a_role_is_read_by_its_name(role: Role) -> None:
    assert parse_role(role.name.lower()) is role


@pytest.mark.parametrize("text", ["", "anyone", "ADMIN", "root", "3", "admin "])
def test_nothing_else_is_a_role(text: str) -> None:
    with pytest.raises(ValueError, match="no such role"):
        parse_role(text)
