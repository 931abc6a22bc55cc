"""How the private names of mitmproxy that this package takes are looked for, at start."""


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
