"""Bars: on a terminal, and nowhere else."""

import io

from rich.console import Console

from appliance.demo.bars import watching


def test_a_terminal_shows_a_bar_for_each_client() -> None:
    seen = io.StringIO()
    console = Console(file=seen, force_terminal=True, width=100, legacy_windows=False)
    with watching(console, is_quiet=True) as audience:
        audience.say("beginning")
        audience.advance("client-1", 1024, 2048)
        audience.advance("client-1", 2048, 2048)
    assert "beginning" in seen.getvalue()
    assert "client-1" in seen.getvalue()
    assert "2.0/2.0 KiB" in seen.getvalue()


def test_elsewhere_there_are_lines_or_nothing() -> None:
    for is_quiet, shown in ((False, "beginning\n"), (True, "")):
        seen = io.StringIO()
        with watching(Console(file=seen), is_quiet=is_quiet) as audience:
            audience.say("beginning")
            audience.advance("client-1", 1, 2)
        assert seen.getvalue() == shown
