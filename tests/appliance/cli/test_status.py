"""`status`, as it is typed, of a box that answers and of one that is not there."""

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import status
from appliance.control import Control

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "pid": 4711,
    "uptime_seconds": 3725,
    "status": "degraded",
    "checks": {
        "dns": {"ok": True, "detail": "pulled"},
        "disk": {"ok": False, "detail": "less is free than cache.min_free"},
    },
    "addresses": ["192.168.1.5"],
    "dns": [["192.168.1.5", 53], ["127.0.0.1", 53]],
    "tls_port": 443,
    "proxy_port": 3128,
    "web_ports": [80, 8080],
    "ca_fingerprint": "AB:CD",
    "fills": [
        {
            "repository": "library/tiny",
            "digest": "sha256:0123456789abcdef",
            "held_bytes": 50,
            "size_bytes": 200,
        }
    ],
}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_STATE_DIR", str(state))
    return state


def invoke(*words: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, default=Path(os.devnull))
    status.add_parser(parser.add_subparsers())
    args = parser.parse_args(["status", *words])
    code: int = args.run(args)
    return code


async def invoke_beside_a_box(state: Path, answer: dict[str, Any], *words: str) -> int:
    async def answer_status() -> dict[str, Any]:
        return answer

    async with Control(state, {"status": answer_status}):
        return await asyncio.to_thread(invoke, *words)


async def test_a_person_reads_what_works_and_what_does_not(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await invoke_beside_a_box(state, STATUS) == 0
    assert capsys.readouterr().out.splitlines() == [
        "degraded: version 0.1.0, up 62 min, pid 4711",
        "  ok     dns: pulled",
        "  BROKEN disk: less is free than cache.min_free",
        "ports: DNS 53, https 443, http 80, 8080, proxy 3128",
        "addresses: 192.168.1.5",
        "fetching: library/tiny sha256:0123456789ab 25 %",
    ]


async def test_a_script_reads_one_object(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await invoke_beside_a_box(state, STATUS, "--json") == 0
    assert json.loads(capsys.readouterr().out) == STATUS


@pytest.mark.parametrize(("word", "code"), [("healthy", 0), ("degraded", 0), ("unhealthy", 1)])
async def test_the_exit_code_says_whether_clients_can_use_it(
    state: Path, word: str, code: int
) -> None:
    assert await invoke_beside_a_box(state, STATUS | {"status": word}) == code


def test_without_a_box_it_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke() == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no box answers" in captured.err
    assert "ollama-appliance run" in captured.err


def test_a_configuration_that_is_none_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_DNS_PORT", "0")
    assert invoke("--json") == 1
    captured = capsys.readouterr()
    assert (captured.out, "dns.port" in captured.err) == ("", True)


def test_what_there_is_none_of_is_said_so() -> None:
    bare = STATUS | {"dns": [], "addresses": [], "fills": [], "checks": {}}
    assert list(status.format_status(bare))[1:] == [
        "ports: DNS off, https 443, http 80, 8080, proxy 3128",
        "addresses: none",
    ]


def test_a_fill_of_nothing_is_no_division_by_nothing() -> None:
    fill = STATUS["fills"][0] | {"held_bytes": 0, "size_bytes": 0}
    assert list(status.format_status(STATUS | {"fills": [fill]}))[-1].endswith(" 0 %")
