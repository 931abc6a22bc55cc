"""Every fault tells an operator what to do."""

from pathlib import Path

import pytest

from appliance.protocol.digest import digest_of
from appliance.store.faults import (
    DigestMismatchError,
    EnvironmentDamagedError,
    LedgerDamagedError,
    PendingClosedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreOnNetworkError,
    StoreUnmarkedError,
)

ROOT = Path("/var/lib/box")
DIGEST = digest_of(b"")

FAULTS: list[tuple[StoreError, str, str]] = [
    (StoreLockedError(ROOT / "lock", 42), "process 42", "kill 42"),
    (StoreLockedError(ROOT / "lock", None), "another process", "box.state_dir"),
    (StoreUnmarkedError(ROOT, "its marker is missing"), "marker is missing", "mount the disk"),
    (StoreOnNetworkError(ROOT, "nfs4"), "nfs4", "local disk"),
    (StoreFullError(ROOT, 100, 7), "100", "cache.min_free"),
    (DigestMismatchError(DIGEST, digest_of(b"x")), str(DIGEST), "pull again"),
    (PendingClosedError(DIGEST, "was cancelled"), "was cancelled", "begin it again"),
    (EnvironmentDamagedError(ROOT / "index", "torn"), "torn", "rebuilt"),
    (LedgerDamagedError(ROOT / "ledger", "torn"), "torn", "backup"),
]


@pytest.mark.parametrize(("fault", "says", "hints"), FAULTS, ids=lambda each: type(each).__name__)
def test_a_fault_names_the_trouble_and_the_way_out(
    fault: StoreError, says: str, hints: str
) -> None:
    assert says in str(fault)
    assert hints in fault.hint
