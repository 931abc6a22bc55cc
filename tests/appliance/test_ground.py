"""The ground: ports that can be had, and a state directory that is ours."""

import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from appliance.certs import AuthorityDamagedError, AuthorityNamesError
from appliance.demo.ports import choose_port
from appliance.ground import StateUnusableError
from appliance.listeners import PortUnavailableError
from appliance.private_files import SecretDamagedError
from appliance.startup import start
from appliance.store.faults import StoreLockedError, StoreUnmarkedError
from appliance.store.store import open_store
from tests.appliance.boxes import make_config, taken_port
from tests.appliance.starting import as_default, fault_of, started
from tests.appliance.store.samples import store_blob


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


async def test_of_the_default_web_ports_those_that_can_be_had_are_taken(
    state: Path, said: list[str]
) -> None:
    free = choose_port()
    async with taken_port() as taken:
        config = as_default(make_config(state, WEB_PORTS=f"{taken},{free}"), "web", "ports")
        assert (await started(config, said))[2:] == (free,)
    (note,) = said
    assert note.endswith(f"http is on {free} only")


async def test_a_default_proxy_port_that_cannot_be_had_is_done_without_and_said(
    state: Path, said: list[str]
) -> None:
    async with taken_port() as taken, AsyncExitStack() as stack:
        config = as_default(make_config(state, PROXY_PORT=str(taken)), "proxy", "port")
        box = await start(stack, config, said.append)
        assert (box.ground.proxy, box.facts.proxy_port) == (None, None)
    (note,) = said
    assert note.startswith(f"note: port {taken} cannot be had")
    assert "no proxy way until proxy.port" in note


async def test_without_any_web_port_it_does_not_start(state: Path) -> None:
    async with taken_port() as one, taken_port() as other:
        config = as_default(make_config(state, WEB_PORTS=f"{one},{other}"), "web", "ports")
        fault = await fault_of(config)
    assert isinstance(fault, PortUnavailableError)
    assert "web.ports" in fault.hint


@pytest.mark.parametrize("key", ["tls.port", "proxy.port", "web.ports"])
async def test_a_port_that_was_chosen_is_had_or_it_is_an_error(state: Path, key: str) -> None:
    variable = key.replace(".", "_").upper()
    async with taken_port() as taken:
        fault = await fault_of(make_config(state, **{variable: str(taken)}))
    assert isinstance(fault, PortUnavailableError)
    assert fault.port == taken
    assert key in fault.hint
    with open_store(state):
        """The lock was let go."""


async def test_a_state_directory_in_use_is_refused_with_the_pid(state: Path) -> None:
    with open_store(state):
        fault = await fault_of(make_config(state))
    assert isinstance(fault, StoreLockedError)
    assert fault.pid == os.getpid()


async def test_a_state_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    fault = await fault_of(make_config(tmp_path / "file" / "state"))
    assert isinstance(fault, StateUnusableError)
    assert str(tmp_path / "file" / "state") in str(fault)
    assert "box.state_dir" in fault.hint


async def test_what_is_wrong_with_the_state_is_an_error_each(state: Path, said: list[str]) -> None:
    await started(make_config(state), said)
    other = await fault_of(make_config(state, ORIGIN_NAME="registry.example.com"))
    assert isinstance(other, AuthorityNamesError)
    secret = state / "secret"
    kept = secret.read_bytes()
    secret.write_bytes(b"short")
    assert isinstance(await fault_of(make_config(state)), SecretDamagedError)
    secret.write_bytes(kept)
    (state / "ca" / "ca.key").unlink()
    assert isinstance(await fault_of(make_config(state)), AuthorityDamagedError)
    (state / "marker").unlink()
    assert isinstance(await fault_of(make_config(state)), StoreUnmarkedError)


async def test_what_recovery_did_is_said(state: Path, said: list[str]) -> None:
    await started(make_config(state), said)
    with open_store(state) as store:
        store_blob(store, b"content")
        digest = store_blob(store, b"other").digest
    (state / "blobs" / "sha256" / digest.encoded[:2] / digest.encoded).unlink()
    await started(make_config(state), said)
    assert [line.partition(":")[0] for line in said] == ["recovery"]
