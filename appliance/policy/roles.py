"""Who may do what: four roles, each with all that the ones before it may.

Reading what the box shows needs no role: whoever may use the box at all may see it. Every change
needs one, and is named here; a test holds this table to what the box can do.
"""

from collections.abc import Mapping
from enum import IntEnum


class Role(IntEnum):
    """In the order of power. The names are what tokens say: never rename one."""

    ANYONE = 0
    VIEWER = 1  # Sees also what tells of people: which machine pulled what.
    OPERATOR = 2  # Keeps models, and fetches more.
    ADMIN = 3  # Lets models go, and changes who may do what.


DEEDS: Mapping[str, Role] = {
    "pin": Role.OPERATOR,
    "unpin": Role.OPERATOR,
    "verify": Role.OPERATOR,
    "scrub": Role.OPERATOR,
    "prefetch": Role.OPERATOR,
    "unprefetch": Role.OPERATOR,
    "pause": Role.OPERATOR,
    "resume": Role.OPERATOR,
    "rm": Role.ADMIN,
    "evict": Role.ADMIN,
    "gc": Role.ADMIN,
}
"""Deed → the role that it needs."""


def parse_role(text: str) -> Role:
    """Read a role by its name in lower case. Raises ValueError; nobody is made ANYONE."""
    roles = {each.name.lower(): each for each in Role if each is not Role.ANYONE}
    if text not in roles:
        raise ValueError(f"no such role: {text[:20]!r}; known are {', '.join(roles)}")
    return roles[text]


def may(role: Role, needed: Role) -> bool:
    """Whether `role` may do what needs `needed`."""
    return role >= needed
