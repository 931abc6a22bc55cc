"""`ca`, as it is typed: with a CA, without one, and into a file."""

import argparse
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.certs import Authority, open_authority
from appliance.cli import ca
from appliance.config import loading

NAMES = ("registry.ollama.ai", "ollama-blobs.home.arpa")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, on a machine where no box is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "SYSTEM_FILE", tmp_path / "none.conf")
    return tmp_path


@pytest.fixture
def authority(directory: Path) -> Authority:
    return open_authority(directory / "state" / "ca", NAMES, now=datetime.now(UTC))


def invoke(*words: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    ca.add_parser(parser.add_subparsers())
    args = parser.parse_args(words)
    status: int = args.run(args)
    return status


def test_the_ca_is_shown(authority: Authority, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("ca") == 0
    out = capsys.readouterr().out
    assert f"SHA256:{authority.fingerprint}\n" in out
    assert ", ".join(NAMES) in out
    assert f"{authority.not_after:%Y-%m-%d}\n" in out
    assert f"{authority.directory / 'ca.pem'}\n" in out


def test_the_ca_as_json(authority: Authority, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("ca", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert datetime.fromisoformat(facts.pop("not_after")) == authority.not_after
    assert facts == {
        "fingerprint": authority.fingerprint,
        "names": list(NAMES),
        "file": str(authority.directory / "ca.pem"),
    }


def test_export_writes_the_pem_and_nothing_else(
    authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke("ca", "export") == 0
    captured = capsys.readouterr()
    assert (captured.out.encode(), captured.err) == (authority.certificate_pem, "")
    assert ssl.create_default_context(cadata=captured.out).get_ca_certs()


@pytest.mark.parametrize("words", [["ca"], ["ca", "--json"], ["ca", "export"]])
def test_without_a_ca_it_says_what_to_type(
    words: list[str], capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    assert invoke(*words) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no CA in state/ca yet" in captured.err
    assert "try: ollama-appliance run" in captured.err
    assert list(directory.iterdir()) == []


def test_a_broken_configuration_is_said(
    capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    (directory / "appliance.conf").write_text("[dns]\nprot = 1\n")
    assert invoke("ca") == 1
    err = capsys.readouterr().err
    assert "appliance.conf:2: dns.prot" in err
    assert "ollama-appliance check" in err
