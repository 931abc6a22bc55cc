"""A state directory that the verbs under test find by themselves."""

from pathlib import Path

import pytest


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    state = tmp_path / "state"
    monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_STATE_DIR", str(state))
    return state
