"""Completion in the shells themselves."""

import subprocess
from pathlib import Path

import pytest

from appliance.cli import completion, make_parser
from tests.appliance.cli.wishing import invoke
from tests.programs import program


@pytest.fixture
def script(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Path:
    """What is printed for the shell that the test is about."""
    assert invoke(completion, "completion", request.param) == 0
    file = tmp_path / "completion"
    file.write_text(capsys.readouterr().out, "utf-8")
    return file


def typed(*command: str | Path) -> list[str]:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert not done.stderr
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def in_bash(script: Path, *words: str) -> list[str]:
    quoted = " ".join(f"'{each}'" for each in words)
    ask = (
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        "$(complete -p ollama-appliance | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return typed(program("bash"), "--norc", "-c", f"source {script}; {ask}")


@pytest.mark.parametrize("script", ["bash"], indirect=True)
def test_bash_knows_verbs_their_actions_and_their_words(script: Path) -> None:
    verbs = [name for group in make_parser().verb_groups.values() for name in group]
    assert set(verbs) <= set(in_bash(script, "ollama-appliance", ""))
    assert in_bash(script, "ollama-appliance", "statu") == ["status"]
    assert "--dry-run" in in_bash(script, "ollama-appliance", "evict", "--d")
    assert in_bash(script, "ollama-appliance", "dns", "snippets", "unb") == ["unbound"]


@pytest.mark.parametrize("script", ["fish"], indirect=True)
def test_fish_knows_them_too(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    def ask(line: str) -> list[str]:
        return typed(program("fish"), "--no-config", "-c", f"source {script}; complete -C '{line}'")

    assert ask("ollama-appliance statu") == ["status"]
    assert ask("ollama-appliance dns snippets unb") == ["unbound"]


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_can_read_it(script: Path) -> None:
    assert typed(program("zsh"), "-n", script) == []
    assert script.read_text("utf-8").startswith("#compdef ollama-appliance\n")
