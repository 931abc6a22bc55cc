"""What is looked for is found where it is, and missed by name where it is not."""

import subprocess
import sys

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


def imported_by(program: str) -> set[str]:
    """The modules that a fresh interpreter has after `program`."""
    told = subprocess.run(
        [sys.executable, "-c", f"{program}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.split())


def test_addons_that_nobody_uses_are_not_imported() -> None:
    modules = imported_by("import addons.master, addons.intercept")
    assert {"mitmproxy.addons.core", "mitmproxy.addons.tlsconfig"} <= modules
    assert not modules & {"flask", "ldap3", "mitmproxy.addons.onboarding"}


def test_a_package_that_is_there_already_stays() -> None:
    modules = imported_by("import mitmproxy.addons, addons.master")
    assert "mitmproxy.addons.onboarding" in modules
