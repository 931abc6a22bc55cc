"""`doctor`, as it is typed, beside a real box that is well, and that is not."""

import argparse
import asyncio
import json
import os
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from appliance.cli import doctor
from appliance.client.examination import Here
from tests.appliance.boxes import LOOPBACK, environment, running_box
from tests.appliance.boxes import make_config as configure


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    variables = environment(tmp_path / "state")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def invoke(*words: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, default=Path(os.devnull))
    doctor.add_parser(parser.add_subparsers())
    args = parser.parse_args(["doctor", *words])
    code: int = args.run(args)
    return code


def config_of(variables: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("OLLAMA_APPLIANCE_"): value for name, value in variables.items()}


async def test_a_box_that_is_well_has_no_broken_line(
    variables: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_box(configure(tmp_path / "state", **config_of(variables))):
        assert await asyncio.to_thread(invoke) == 0
        lines = capsys.readouterr().out.splitlines()
        assert all(line.startswith("ok     ") for line in lines)
        assert {line.split(": ")[0].removeprefix("ok     ") for line in lines} >= {
            "dns", "tls registry.ollama.ai", "tls ollama-blobs.home.arpa", "page", "proxy", "pull",
            "box",
        }  # fmt: skip
        assert await asyncio.to_thread(invoke, "--json", "--address", LOOPBACK) == 0
        assert {each["is_ok"] for each in json.loads(capsys.readouterr().out)} == {True}


async def test_a_box_whose_dns_hangs_has_a_line_that_says_so_and_what_to_type(
    variables: Mapping[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("appliance.examination.RING_SECONDS_MAX", 0.1)
    async with running_box(configure(tmp_path / "state", **config_of(variables))) as box:
        os.kill(box.dns_pid, signal.SIGSTOP)
        try:
            assert await asyncio.to_thread(invoke) == 1
        finally:
            os.kill(box.dns_pid, signal.SIGCONT)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("BROKEN dns: ")
    assert lines[1].strip().startswith("try: let UDP and TCP")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine that asks nobody for names but finds the box."""
    root = tmp_path / "client"
    (root / "etc").mkdir(parents=True)
    here = partial(Here, root=root, look_up=lambda name: (LOOPBACK,))
    monkeypatch.setattr(doctor, "Here", here)
    return root


async def test_a_client_is_examined_from_its_own_side(
    variables: Mapping[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    client: Path,
) -> None:
    async with running_box(configure(tmp_path / "state", **config_of(variables))) as box:
        assert await asyncio.to_thread(invoke, "--client") == 1
        lines = capsys.readouterr().out.splitlines()
        assert f"ok     box: {box.url} answers, for registry.ollama.ai" in lines
        broken = [line for line in lines if line.startswith("BROKEN")]
        assert broken == [
            "BROKEN this system: CA: does not trust the box's CA; "
            "not needed for ollama pull --insecure"
        ]
        assert f"try: curl -fsS {box.url}/install.sh" in lines[lines.index(broken[0]) + 1]

        pem = await asyncio.to_thread((tmp_path / "state/ca/ca.pem").read_bytes)
        (client / "etc/ssl").mkdir()
        await asyncio.to_thread((client / "etc/ssl/cert.pem").write_bytes, pem)
        assert await asyncio.to_thread(invoke, "--client", "--json") == 0
        assert {each["is_ok"] for each in json.loads(capsys.readouterr().out)} == {True}
        port = str(box.config.web.ports[0])
        words = ("--client", "--address", LOOPBACK, "--port", port)
        await asyncio.to_thread(invoke, *words)  # Its https is on another port than clients dial.
        assert f"ok     box: {box.url} answers" in capsys.readouterr().out


def test_a_client_without_a_box_is_asked_where_it_is(
    variables: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke("--client") == 1
    assert "--address 192.168.1.5" in capsys.readouterr().err


def test_without_a_box_it_says_how_to_start_one(
    variables: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke() == 1
    assert "ollama-appliance run" in capsys.readouterr().err


def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        invoke("--address", "registry.ollama.ai")
    assert caught.value.code == 2
    assert "is no address" in capsys.readouterr().err
