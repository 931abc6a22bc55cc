"""`blob-address`, as it is typed."""

import argparse
import json
import os
from pathlib import Path

import pytest

from appliance.cli import blob_address
from appliance.interfaces import read_interfaces


def invoke(*words: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, default=Path(os.devnull))
    blob_address.add_parser(parser.add_subparsers())
    args = parser.parse_args(["blob-address", *words])
    code: int = args.run(args)
    return code


@pytest.fixture
def box_address(monkeypatch: pytest.MonkeyPatch) -> str:
    address = "192.168.7.5"
    assert address not in str(read_interfaces())
    monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_ADDRESS", address)
    return address


def test_the_lines_name_this_very_box(box_address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("--router", "192.168.7.1") == 0
    said = capsys.readouterr().out
    assert f"ip route add 203.0.113.10/32 via {box_address}\n" in said
    assert f"dhcp-option=121,0.0.0.0/0,192.168.7.1,203.0.113.10/32,{box_address}\n" in said
    assert "ollama pull --insecure NAME" in said
    assert "#   ip route del" in said


def test_as_json_every_line_has_its_undo_beside_it(
    box_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke("--router", "192.168.7.1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    (linux,) = [each for each in told if each["title"] == "On one client: Linux"]
    assert linux["lines"] == [f"ip route add 203.0.113.10/32 via {box_address}"]
    assert linux["undo"] == [f"ip route del 203.0.113.10/32 via {box_address}"]


def test_a_router_that_is_not_known_is_asked_for(
    box_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke() == 0
    said = capsys.readouterr().out
    assert "--router 192.168.1.1" in said
    assert "dhcp-option" not in said


def test_the_address_that_is_set_is_the_one_in_the_lines(
    box_address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_BLOBS_ADDRESS", "198.51.100.7")
    assert invoke() == 0
    assert f"198.51.100.7/32 via {box_address}" in capsys.readouterr().out


def test_announcing_needs_the_secret_of_a_box_that_was_started(
    box_address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("OLLAMA_APPLIANCE_BLOBS_ANNOUNCE", "true")
    assert invoke() == 1
    assert "start the box once" in capsys.readouterr().err
    (tmp_path / "secret").write_bytes(b"s" * 32)
    assert invoke() == 0
    monkeypatch.delenv("OLLAMA_APPLIANCE_BOX_ADDRESS")
    assert invoke("--router", "192.168.7.1") == 0
    assert "ip -6 address add 64:ff9b:1:" in capsys.readouterr().out


def test_what_cannot_be_answered_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_ADDRESS", "2001:db8::1")
    assert invoke() == 1
    assert "no IPv4 network" in capsys.readouterr().err
    monkeypatch.setenv("OLLAMA_APPLIANCE_BLOBS_ADDRESS", "192.168.1.10")
    assert invoke() == 1
    assert "192.168.1.10 is private" in capsys.readouterr().err
