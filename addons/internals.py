"""How the private names of mitmproxy that this package takes are looked for, at start."""

import importlib.util
import sys
from types import ModuleType

_PACKAGE = "mitmproxy.addons"


class MitmproxyChangedError(Exception):
    """This mitmproxy lacks something that the box relies on."""

    hint = "install the versions of requirements.lock: make run does"


def require_methods(owner: type, *names: str) -> None:
    """Raise MitmproxyChangedError unless `owner` has methods of these names."""
    for name in names:
        if not callable(getattr(owner, name, None)):
            raise MitmproxyChangedError(f"its {owner.__name__} has no {name} any more")


def require_fields(owner: type, *names: str) -> None:
    """Raise MitmproxyChangedError unless instances of `owner` are made with fields so named."""
    made = owner.__init__.__code__.co_names  # type: ignore[misc]  # A function's, never a slot's.
    for name in names:
        if name not in made:
            raise MitmproxyChangedError(f"its {owner.__name__} has no {name} any more")


def skip_unused_addons() -> None:
    """Have the package of mitmproxy's own addons import none of them by itself.

    It imports them all, with a web server and a client of LDAP, which costs time at each start, and
    memory (`python -X importtime -m appliance`). Those that are used here are imported by their
    names. Where somebody has imported the package already it stays as it is.
    """
    spec = importlib.util.find_spec("mitmproxy")
    if _PACKAGE in sys.modules or spec is None or not spec.submodule_search_locations:
        return
    package = ModuleType(_PACKAGE)
    package.__path__ = [f"{place}/addons" for place in spec.submodule_search_locations]
    sys.modules[_PACKAGE] = package
