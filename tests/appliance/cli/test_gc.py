"""`gc`, as it is typed."""

from pathlib import Path

import pytest

from appliance.cli import gc
from appliance.store.store import open_store
from tests.appliance.cli.wishing import invoke, store_tiny
from tests.appliance.store.samples import store_blob


def test_what_no_model_lists_goes(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_tiny(state_dir)
    with open_store(state_dir) as store:
        store_blob(store, b"loose")
    assert [invoke(gc, "gc", "-n"), invoke(gc, "gc"), invoke(gc, "gc")] == [0, 0, 0]
    assert capsys.readouterr().out.splitlines() == [
        "would free 5 bytes: 1 blobs, 0 manifests",
        "freed 5 bytes: 1 blobs, 0 manifests",
        "freed 0 bytes: 0 blobs, 0 manifests",
    ]
