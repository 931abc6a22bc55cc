"""`support-bundle`, as it is typed beside a real box: all that helps, and not one secret."""

import asyncio
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from appliance.cli import support_bundle
from appliance.control import wish_of_box
from tests.appliance.boxes import environment, make_config, running_box
from tests.appliance.cli.wishing import invoke
from tests.fakes.journal import put_journal

PASSWORD = "correct horse battery"
SIGNED = "https://cdn.example/b?X-Amz-Credential=AKIAEXAMPLE&X-Amz-Signature=5ec7e75ec7e7"
PARTS = {
    *("README", "versions.txt", "settings.json", "status.json", "stats.json", "models.json"),
    *("learnt.json", "ca.txt", "state.txt", "network.txt", "system.txt", "log.txt", "audit.jsonl"),
    "doctor.txt",
}


def unpack(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        found = {}
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            found[member.name.rpartition("/")[2]] = content.read().decode()
        return found


def key_lines(state_dir: Path) -> list[str]:
    pem = (state_dir / "ca" / "ca.key").read_text("ascii")
    return [line for line in pem.splitlines() if not line.startswith("-")]


async def test_a_real_box_is_packed_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state_dir, file = tmp_path / "state", tmp_path / "bundle.tar.gz"
    (tmp_path / "password").write_text(PASSWORD + "\n", "utf-8")
    variables = environment(state_dir, WEB_ADMIN_PASSWORD_FILE=str(tmp_path / "password"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = {name.removeprefix("OLLAMA_APPLIANCE_"): value for name, value in variables.items()}
    async with running_box(make_config(state_dir, **settings)):
        token = (
            await wish_of_box(
                state_dir, "token-create", {"name": "t", "role": "admin", "seconds": 60}
            )
        )["token"]
        secret = (state_dir / "secret").read_bytes().hex()
        planted = [secret, *key_lines(state_dir), token, SIGNED, f"login with {PASSWORD}"]
        put_journal(tmp_path, monkeypatch, "ready", *planted)
        assert await asyncio.to_thread(invoke, support_bundle, "support-bundle", str(file)) == 0
    assert str(file) in capsys.readouterr().out
    found = await asyncio.to_thread(unpack, file)
    assert set(found) == PARTS
    text = "\n".join(found.values())
    for each in (
        secret,
        token,
        PASSWORD,
        "5ec7e75",
        "AKIAEXAMPLE",
        *key_lines(state_dir),
    ):
        assert each not in text
    assert "ready" in found["log.txt"]
    assert json.loads(found["status.json"])["status"] == "healthy"
    assert json.loads(found["settings.json"])["ok"] is True
    assert found["doctor.txt"].startswith("ok     dns")
    assert json.loads(found["audit.jsonl"])["deed"] == "token-create"
    assert "could not be had" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_stopped_box_is_packed_too_and_says_what_is_missing(
    state_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bundle.tar.gz"
    assert invoke(support_bundle, "support-bundle", str(file), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(file), "parts": sorted(PARTS)}
    assert unpack(file)["doctor.txt"].startswith("could not be had: BoxNotRunningError")


def test_what_is_there_already_is_left_alone(
    state_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bundle.tar.gz"
    file.write_text("mine", "utf-8")
    assert invoke(support_bundle, "support-bundle", str(file)) == 1
    assert "File exists" in capsys.readouterr().err
    assert file.read_text("utf-8") == "mine"


def test_unnamed_it_is_named_by_its_instant(
    state_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(support_bundle, "support-bundle") == 0
    (file,) = tmp_path.glob("ollama-appliance-support-*.tar.gz")
    assert os.fspath(file.name) in capsys.readouterr().out


def test_a_configuration_that_is_none_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_DNS_PORT", "0")
    assert invoke(support_bundle, "support-bundle") == 1
    assert "dns.port" in capsys.readouterr().err
