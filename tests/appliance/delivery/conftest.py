"""A file for outlets to send."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.delivery.outlets import CONTENT


@pytest.fixture
def file_fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(CONTENT)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)
