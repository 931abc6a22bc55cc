"""The programs are found or asked for, and run with the libraries that came with them."""

import subprocess
from pathlib import Path

import pytest

from tests import programs
from tests.programs import program, read_axe


@pytest.mark.parametrize(
    ("name", "version_flag"),
    [
        ("chromium-headless-shell", "--version"),
        ("curl", "--version"),
        ("dig", "-v"),
        ("dnsmasq", "--version"),
        ("docker-registry", "--version"),
        ("faketime", "--version"),
        ("fish", "--version"),
        ("named", "-V"),
        ("openssl", "version"),
        ("skopeo", "--version"),
        ("systemd-analyze", "--version"),
        ("unbound", "-V"),
        ("zsh", "--version"),
    ],
)
def test_a_program_starts(name: str, version_flag: str) -> None:
    subprocess.run([program(name), version_flag], check=True, capture_output=True)


def test_a_program_of_the_machine_goes_before_an_unpacked_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("machine", "unpacked"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "teapot").write_text("#!/bin/sh\n", "utf-8")
        (tmp_path / room / "teapot").chmod(0o755)
    monkeypatch.setattr(programs, "UNPACKED", tmp_path / "unpacked")
    assert program("teapot") == tmp_path / "unpacked" / "teapot"
    monkeypatch.setenv("PATH", str(tmp_path / "machine"))
    assert program("teapot") == tmp_path / "machine" / "teapot"


@pytest.mark.parametrize("ci", ["", "0", "false"])
def test_without_the_program_a_test_skips_and_says_what_to_type(
    ci: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(pytest.skip.Exception, match="scripts/debian-programs"):
        program("no-such-teapot")


def test_axe_core_is_read_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "AXE", tmp_path / "axe.min.js")
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="scripts/axe-core"):
        read_axe()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="scripts/axe-core"):
        read_axe()
    programs.AXE.write_text("axe", "utf-8")
    assert read_axe() == "axe"


def test_in_ci_a_missing_program_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="scripts/debian-programs"):
        program("no-such-teapot")
