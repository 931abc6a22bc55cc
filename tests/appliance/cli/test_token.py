"""`token`, as it is typed, against the desk of a running box."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from appliance.cli import token
from appliance.control import Control
from appliance.store.store import open_store
from appliance.token_desk import TokenDesk, make_tokens
from tests.appliance.cli.wishing import invoke


@pytest.fixture
def short_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The name of a Unix socket has at most 108 bytes."""
    with TemporaryDirectory(prefix="box-") as name:
        state = Path(name) / "state"
        monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_STATE_DIR", str(state))
        yield state


async def test_a_token_is_made_listed_and_revoked(
    short_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store(short_dir) as store:
        tokens = make_tokens(store, b"s" * 32, lambda: 0.0)
        desk = TokenDesk(store, tokens, now=lambda: 0.0)
        async with Control(short_dir, {"tokens": desk.list_tokens}, desk.deeds()):

            async def typed(*words: str) -> str:
                assert await asyncio.to_thread(invoke, token, "token", *words) == 0
                return capsys.readouterr().out.strip()

            given = await typed("create", "backup", "--role", "viewer", "--days", "1")
            assert tokens.read(given).name == "backup"
            listed = await typed("list")
            assert listed.endswith("viewer    until 1970-01-02  backup")
            (found,) = json.loads(await typed("list", "--json"))
            assert await typed("revoke", found["id"]) == "backup: revoked"
            assert "no token is good now" in await typed("list")
            refused = await asyncio.to_thread(invoke, token, "token", "create", "x", "--days", "0")
            assert (refused, "--days 90" in capsys.readouterr().err) == (1, True)


@pytest.mark.parametrize("words", [("create", "x"), ("list",), ("revoke", "x")])
def test_without_a_box_nothing_is_done(
    state_dir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    state_dir.mkdir()
    assert invoke(token, "token", *words) == 1
    assert "ollama-appliance run" in capsys.readouterr().err


def test_a_role_is_one_of_three() -> None:
    with pytest.raises(SystemExit):
        invoke(token, "token", "create", "x", "--role", "root")
