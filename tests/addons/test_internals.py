"""What is looked for is found where it is, and missed by name where it is not."""

import pytest

from addons.internals import MitmproxyChangedError, require_fields, require_methods


class Known:
    def __init__(self) -> None:
        self._lock = object()

    def send(self) -> None:
        """There to be found."""


def test_what_is_there_is_found() -> None:
    require_methods(Known, "send")
    require_fields(Known, "_lock")


def test_what_is_missing_is_named_and_has_a_remedy() -> None:
    with pytest.raises(MitmproxyChangedError, match="Known has no receive") as caught:
        require_methods(Known, "send", "receive")
    assert "requirements.lock" in caught.value.hint
    with pytest.raises(MitmproxyChangedError, match="Known has no _drain_lock"):
        require_fields(Known, "_lock", "_drain_lock")
