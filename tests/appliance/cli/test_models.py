"""`models`, as it is typed: of a running box, and from the disk where none runs."""

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import models
from appliance.control import Control
from appliance.store.store import open_store
from appliance.upstream.builtin import BUILTIN
from tests.appliance.store.samples import CONTENT, LATEST, manifest_of, store_blob, tag_of


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    state = tmp_path / "state"
    monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_STATE_DIR", str(state))
    monkeypatch.setenv("COLUMNS", "120")
    return state


def invoke(*words: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, default=Path(os.devnull))
    models.add_parser(parser.add_subparsers())
    args = parser.parse_args(["models", *words])
    code: int = args.run(args)
    return code


def store_models(state: Path) -> None:
    """Store one model that is here, one that is not, and the box's own."""
    asyncio.run(_store_models(state))


async def _store_models(state: Path) -> None:
    here, absent, own = manifest_of(CONTENT), manifest_of(b"absent"), manifest_of(b"own")
    other = type(LATEST)(LATEST.repository, "1b")
    with open_store(state) as store:
        store_blob(store, CONTENT)
        await store.write_manifest(tag_of(here), here)
        await store.write_manifest(tag_of(absent, other), absent)
        await store.write_manifest(tag_of(own, BUILTIN), own)
        store.note_pulled(LATEST, 1_700_000_000.0)


def test_with_no_box_the_disk_is_read(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_models(state)
    assert invoke("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["tag"], each["complete"]) for each in found] == [
        ("tiny", "1b", False),
        ("tiny", "latest", True),
    ]
    assert found[1]["manifest_url"] == "http://localhost/v2/library/tiny/manifests/latest"
    assert (found[1]["pulls"], found[1]["last_pulled"]) == (1, "2023-11-14T22:13:20Z")


@pytest.mark.parametrize(
    ("address", "ports", "base"),
    [
        ("fd00::5", "8080", "http://[fd00::5]:8080/"),
        ("10.0.0.9", "80,8080", "http://10.0.0.9/"),
    ],
)
def test_urls_name_the_box_as_configured(
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
    ports: str,
    base: str,
) -> None:
    store_models(state)
    monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_ADDRESS", address)
    monkeypatch.setenv("OLLAMA_APPLIANCE_WEB_PORTS", ports)
    assert invoke("--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["manifest_url"].startswith(base)


def test_a_person_reads_a_table(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_models(state)
    assert invoke() == 0
    head, absent, here = capsys.readouterr().out.splitlines()
    assert head.split() == ["MODEL", "SIZE", "HERE", "PULLS", "LAST", "PULLED"]
    assert absent.split()[0] == "tiny:1b"
    assert absent.split()[-2:] == ["0", "never"]
    assert here.split()[0] == "tiny:latest"
    assert here.split()[-3:] == ["all", "1", "2023-11-14T22:13:20Z"]


@pytest.mark.parametrize("is_made", [True, False])
def test_an_empty_store_is_said(
    state: Path, capsys: pytest.CaptureFixture[str], *, is_made: bool
) -> None:
    if is_made:
        open_store(state).close()
    assert invoke() == 0
    assert capsys.readouterr().out.startswith("no models yet")
    assert invoke("--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert state.exists() is is_made


@pytest.fixture
def made(state: Path) -> Path:
    state.mkdir()
    return state


async def test_a_running_box_is_asked(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer: list[dict[str, Any]] = [{"name": "tiny"}]

    async def answer_models() -> list[dict[str, Any]]:
        return answer

    async with Control(made, {"models": answer_models}):
        assert await asyncio.to_thread(invoke, "--json") == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_a_box_that_hangs_keeps_its_store(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_store(state):
        assert invoke() == 1
    err = capsys.readouterr().err
    assert f"process {os.getpid()} already uses" in err
    assert "stop it" in err


def test_a_configuration_that_is_none_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_DNS_PORT", "0")
    assert invoke() == 1
    assert "dns.port" in capsys.readouterr().err
