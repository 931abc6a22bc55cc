"""What verbs show: whole lines into a pipe, colours on a terminal and only there."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest
from rich.console import Console
from rich.table import Table

from appliance.cli.showing import make_console, paint, print_lines, tell_fault

SHOW = "from appliance.cli.showing import print_lines; print_lines(['ok dns', 'BROKEN web'])"


def shown(text: str) -> str:
    """`text` painted, as a terminal gets it."""
    file = io.StringIO()
    Console(file=file, force_terminal=True, color_system="standard", width=200).print(paint(text))
    return file.getvalue().rstrip("\n")


def test_the_verdict_alone_is_coloured() -> None:
    assert shown("ok     dns: fine") == "\x1b[32mok\x1b[0m     dns: fine"
    assert shown("BROKEN ok: no") == "\x1b[1;31mBROKEN\x1b[0m ok: no"
    assert shown("       try: this").startswith("       \x1b[36mtry\x1b[0m: this")


@pytest.mark.parametrize("line", ["", "   ", "oks are counted", "it is ok", "[bold]x[/bold]"])
def test_other_lines_are_as_they_are(line: str) -> None:
    assert shown(line) == line


def on_a_terminal(**variables: str) -> str:
    """What two verdicts look like there."""
    leader, follower = pty.openpty()
    environment = {"TERM": "xterm", "PATH": os.environ["PATH"], **variables}
    command = (sys.executable, "-c", SHOW)
    subprocess.run(command, check=True, stdout=follower, env=environment, timeout=30)
    os.close(follower)
    text = os.read(leader, 10_000).decode()
    os.close(leader)
    return text


def test_no_color_is_respected_and_a_terminal_gets_colours() -> None:
    assert "\x1b[32mok" in on_a_terminal()
    assert on_a_terminal(NO_COLOR="1").splitlines()[0] == "ok dns"


def test_a_pipe_gets_no_colours_and_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    line = "ok " + "word " * 100 + "end"
    print_lines([line])
    assert capsys.readouterr().out == f"{line}\n"


def test_in_a_pipe_no_cell_of_a_table_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a-long-name/" * 15
    table = Table("MODEL", "SIZE", box=None)
    table.add_row(name, "1 GB")
    make_console().print(table)
    assert name in capsys.readouterr().out


class TeapotError(Exception):
    hint = "boil it"


def test_a_fault_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_fault(TeapotError("it is cold")) == 1
    assert capsys.readouterr().err == "ollama-appliance: it is cold\n  boil it\n"
    assert tell_fault(ValueError(json.dumps({}))) == 1
    assert capsys.readouterr().err == "ollama-appliance: {}\n"
