"""A store, or its parts, on a directory that goes away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.store.ledger import Ledger
from appliance.store.premises import Premises
from appliance.store.store import Store, open_store
from tests.appliance.store.samples import premises_at
from tests.fakes.disk import FailingDisk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture
def store(root: Path, disk: FailingDisk) -> Iterator[Store]:
    with open_store(root, disk=disk) as store:
        yield store


@pytest.fixture
def premises(root: Path, disk: FailingDisk) -> Iterator[Premises]:
    premises = premises_at(root, disk)
    yield premises
    premises.catalog.close()


@pytest.fixture
def ledger(premises: Premises) -> Iterator[Ledger]:
    ledger = Ledger(premises.layout.ledger)
    yield ledger
    ledger.close()
