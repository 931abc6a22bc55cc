"""How a configuration key is declared: once, as a section's field, with all that is said of it."""

from dataclasses import dataclass, field
from typing import Any

from appliance.config.kinds import Kind


@dataclass(frozen=True, slots=True)
class Key:
    """One key's declaration. `default` is as TOML writes it."""

    name: str
    default: object
    kind: Kind[Any]
    doc: str
    reason: str


def key[T](default: object, kind: Kind[T], *, doc: str, reason: str) -> T:
    """Declare a dataclass field as a configuration key, with its default read like any value."""
    declared: T = field(
        default=kind.read(default),
        metadata={"default": default, "kind": kind, "doc": doc, "reason": reason},
    )
    return declared
