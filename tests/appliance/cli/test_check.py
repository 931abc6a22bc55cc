"""`check`, as it is typed: what it says, where, and how it ends."""

import argparse
import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.certs import open_authority
from appliance.cli import check
from appliance.config import loading
from appliance.config.sources import all_keys

NAMES = ("registry.ollama.ai", "ollama-blobs.home.arpa")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, on a machine where no box is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "SYSTEM_FILE", tmp_path / "none.conf")
    return tmp_path


def invoke(*words: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    check.add_parser(parser.add_subparsers())
    args = parser.parse_args(words)
    status: int = args.run(args)
    return status


def test_all_errors_at_once(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "a.conf").write_text("[dns]\nprot = 1\n[tls]\nport = 0\n")
    assert invoke("--config", "a.conf", "check") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "error: a.conf:2: dns.prot: no such key; did you mean dns.port?",
        "error: a.conf:4: tls.port: expected a port, 1 to 65535, found 0",
    ]


def test_all_errors_as_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "a.conf").write_text("[dns]\nprot = 1\n")
    assert invoke("--config", "a.conf", "check", "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "ok": False,
        "errors": [
            {
                "source": "a.conf",
                "line": 2,
                "key": "dns.prot",
                "what": "no such key",
                "nearest": "dns.port",
            }
        ],
    }
    assert captured.err == ""


def test_what_holds_and_where_it_came_from(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "appliance.conf").write_text("[dns]\nttl_seconds = 10\nport = 5353\n")
    monkeypatch.setenv("OLLAMA_APPLIANCE_WEB_PORTS", "80,8081")
    assert invoke("check") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "# appliance.conf"
    assert "ttl_seconds = 10 # appliance.conf:2" in lines
    assert "ports = [80, 8081] # OLLAMA_APPLIANCE_WEB_PORTS" in lines
    assert 'state_dir = "state" # default' in lines
    assert lines[-1].startswith("# warning: appliance.conf:3: dns.port: clients ask on 53 only")


def test_what_is_printed_is_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """What `check` prints can be kept as a file, and then means the same."""
    assert invoke("check") == 0
    printed = capsys.readouterr().out
    table = tomllib.loads(printed)
    assert [(section, key) for section in table for key in table[section]] == list(all_keys())
    Path("kept.conf").write_text(printed)
    assert invoke("--config", "kept.conf", "check") == 0
    assert tomllib.loads(capsys.readouterr().out) == table


def test_what_holds_as_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "a.conf").write_text('[blobs]\ndelivery = "plain"\n')
    assert invoke("--config", "a.conf", "check", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["file"]) == (True, "a.conf")
    settings = {(each["section"], each["key"]): each for each in document["settings"]}
    assert list(settings) == list(all_keys())
    assert settings["blobs", "delivery"] == {
        "section": "blobs",
        "key": "delivery",
        "value": "plain",
        "source": "a.conf",
        "line": 2,
    }
    assert (settings["tls", "port"]["value"], settings["tls", "port"]["source"]) == (443, "default")
    assert [each["key"] for each in document["warnings"]] == ["blobs.delivery"]


def test_names_outside_the_ca_are_errors(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_authority(directory / "state" / "ca", NAMES, now=datetime.now(UTC))
    assert invoke("check") == 0
    capsys.readouterr()
    (directory / "a.conf").write_text(
        '[origin]\nname = "registry.example.com"\n[blobs]\nhost = "blobs.example.com"\n'
    )
    assert invoke("--config", "a.conf", "check") == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(
        "error: a.conf:2: origin.name: the CA in state/ca is not for registry.example.com; "
    )
    assert first.endswith(
        "(registry.ollama.ai, ollama-blobs.home.arpa), or: mv state/ca state/ca.old"
    )
    assert second.startswith("error: a.conf:4: blobs.host: ")


def test_a_damaged_ca_is_an_error(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "state" / "ca").mkdir(parents=True)
    (directory / "state" / "ca" / "ca.pem").write_text("garbage")
    assert invoke("check") == 1
    assert "error: default: box.state_dir: the CA in state/ca cannot" in capsys.readouterr().err
