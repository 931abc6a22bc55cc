"""What the box sees of the announcer: alive by its lock, and its last words."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.announce import standing
from appliance.announce.standing import (
    NEVER_RAN,
    AlreadyAnnouncingError,
    hold_standing,
    why_silent,
)

ADDRESS = "64:ff9b:1::5"


def test_an_announcer_that_never_ran_is_told(tmp_path: Path) -> None:
    assert why_silent(tmp_path, ADDRESS) == NEVER_RAN


def test_it_is_silent_for_a_reason_until_it_says_otherwise(tmp_path: Path) -> None:
    with hold_standing(tmp_path) as ours:
        ours.say("listening first", address=ADDRESS)
        assert why_silent(tmp_path, ADDRESS) == "listening first"
        ours.say("", address=ADDRESS)
        assert why_silent(tmp_path, ADDRESS) == ""
        assert "restart the announcing" in why_silent(tmp_path, "64:ff9b:1::6")
    assert why_silent(tmp_path, ADDRESS) == NEVER_RAN


def test_its_last_words_outlive_it(tmp_path: Path) -> None:
    with hold_standing(tmp_path) as ours:
        ours.say("another router advertises here" + "ü" * 1000, address=ADDRESS)
    assert why_silent(tmp_path, ADDRESS).startswith("another router advertises here")
    assert NEVER_RAN in why_silent(tmp_path, ADDRESS)


def test_a_second_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "TAKE_AGAIN_SECONDS", 0.0)
    with hold_standing(tmp_path):
        second = hold_standing(tmp_path)
        with pytest.raises(AlreadyAnnouncingError) as caught:
            second.__enter__()
    assert caught.value.hint
    with hold_standing(tmp_path):
        pass


def test_one_that_is_killed_is_seen_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from appliance.announce.standing import hold_standing\n"
        "with hold_standing(Path(sys.argv[1])) as ours:\n"
        f"    ours.say('', address='{ADDRESS}'); print(flush=True); time.sleep(60)\n"
    )
    command = (sys.executable, "-c", code, str(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert why_silent(tmp_path, ADDRESS) == ""
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert why_silent(tmp_path, ADDRESS) == NEVER_RAN


@pytest.mark.parametrize("words", [b"", b"{}", b"[]", b"\xff", b'{"address": 1'])
def test_words_that_cannot_be_read_announce_nothing(tmp_path: Path, words: bytes) -> None:
    (tmp_path / standing.FILE_NAME).write_bytes(words)
    assert why_silent(tmp_path, ADDRESS) == NEVER_RAN


def test_a_file_that_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / standing.FILE_NAME).symlink_to(tmp_path / standing.FILE_NAME)
    assert "cannot be read" in why_silent(tmp_path, ADDRESS)
