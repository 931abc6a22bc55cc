"""`run`, as it is typed: a real box in a process of its own, and every way not to start."""

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance import supervisor
from appliance.cli import run
from appliance.config import Config
from appliance.listeners import PortUnavailableError
from tests.appliance.boxes import environment

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def process(
    variables: Mapping[str, str], *words: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command in a process of its own, killed if the test leaves it running."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "appliance", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **variables},
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def typed(variables: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that ends by itself."""
    async with process(variables, *words) as ended:
        out, err = await ended.communicate()
        assert ended.returncode is not None
        return ended.returncode, out.decode(), err.decode()


async def until_ready(box: asyncio.subprocess.Process) -> list[str]:
    assert box.stdout is not None
    lines: list[str] = []
    while (line := await box.stdout.readline()) != b"ready\n":
        assert line, lines
        lines.append(line.decode().rstrip())
    return lines


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_is_ready_is_asked_refuses_a_second_and_stops(
    tmp_path: Path, number: signal.Signals
) -> None:
    variables = environment(tmp_path / "state")
    async with process(variables, "run") as box:
        lines = await until_ready(box)
        assert lines[0].startswith("Ollama LAN Appliance ")
        assert any(line.startswith("warning: ") for line in lines)
        code, out, _ = await typed(variables, "status", "--json")
        status = json.loads(out)
        assert (code, status["status"], status["pid"]) == (0, "healthy", box.pid)
        code, _, err = await typed(variables, "run")
        assert code == 1
        assert f"ollama-appliance: process {box.pid} already uses" in err
        assert f"stop it (kill {box.pid})" in err
        dns = int((tmp_path / "state" / "dns.lock").read_text())
        assert is_alive(dns)
        box.send_signal(number)
        out_bytes, _ = await box.communicate()
        assert out_bytes.decode().startswith("stopping: ")
        assert box.returncode == 0
        assert not is_alive(dns)
    code, out, err = await typed(variables, "status")
    assert (code, out) == (1, "")
    assert "start it: ollama-appliance run" in err


def invoke(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], *words: str) -> int:
    """Run the verb in this process; its umask is put back."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run, "configure_logs", lambda **_: None)
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, default=Path(os.devnull))
    run.add_parser(parser.add_subparsers())
    args = parser.parse_args(["run", *words])
    mask = os.umask(0o022)
    os.umask(mask)
    try:
        status: int = args.run(args)
    finally:
        os.umask(mask)
    return status


def test_a_fault_at_start_is_said_with_its_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: Config, say: object) -> None:
        raise PortUnavailableError(443, "in use", "stop the other")

    monkeypatch.setattr(supervisor, "run", fail)
    assert invoke(monkeypatch, environment(tmp_path / "state")) == 1
    captured = capsys.readouterr()
    assert captured.err == ("ollama-appliance: port 443 cannot be had: in use\n  stop the other\n")
    assert "ready" not in captured.out


def test_the_collector_waits_for_the_box_and_is_on_again_after_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[bool] = []

    def fail(config: Config, say: object) -> None:
        waits.append(not gc.isenabled())
        raise PortUnavailableError(443, "in use", "stop the other")

    monkeypatch.setattr(supervisor, "run", fail)
    assert invoke(monkeypatch, environment(tmp_path / "state")) == 1
    assert waits == [True]
    assert gc.isenabled()


def test_a_configuration_that_is_none_is_said_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = environment(tmp_path / "state", DNS_PORT="0", TLS_PORT="no")
    assert invoke(monkeypatch, variables) == 1
    err = capsys.readouterr().err
    assert "dns.port" in err
    assert "tls.port" in err
    assert "ollama-appliance check" in err
    assert not (tmp_path / "state").exists()


def test_what_the_box_writes_is_nobody_else_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[int] = []

    def note_mask(config: Config, say: object) -> None:
        masks.append(os.umask(0o077))

    monkeypatch.setattr(supervisor, "run", note_mask)
    assert invoke(monkeypatch, environment(tmp_path / "state"), "--verbose") == 0
    assert masks == [0o077]
