"""Whether a request that would change something comes from a page of this box's own.

A browser sends a cookie along whoever wrote the page that asks. Two fields tell the truth about
that: `Origin`, which pages cannot forge, and `Host`, which is the attacker's own name where he has
pointed that name at the box (DNS rebinding). So the Host must be one that nobody can point: an
address, `localhost`, or a name that the operator has named; and the Origin must be the Host's.
"""

import ipaddress
from collections.abc import Collection


def is_own_host(host: str, names: Collection[str]) -> bool:
    """Whether `host`, a Host field's name without its port, is surely this box's."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return host.lower().removesuffix(".") in {"localhost", *names}
    return True


def is_same_origin(origin: str | None, authority: str) -> bool:
    """Whether `origin` is that of the pages under http://`authority`, an `Host` field's value."""
    return origin is not None and origin.lower() == f"http://{authority.lower()}"
