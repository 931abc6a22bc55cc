"""What a bundle shows: everything that helps, and no secret however it came there."""

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cli.exhibits import clean, gather, list_exhibits, read_secrets
from appliance.config import Config, load_config
from appliance.policy.roles import Role
from appliance.tokens import Tokens
from tests.appliance.boxes import environment

SECRET = bytes(range(32))
PASSWORD = "correct horse"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A box that was started once, and its password."""
    state = tmp_path / "state"
    (state / "ca").mkdir(parents=True)
    (state / "secret").write_bytes(SECRET)
    (state / "ca" / "ca.key").write_text("-----BEGIN\nMIGHAgEAMBMGByq\n-----END\n", "ascii")
    (tmp_path / "password").write_text(f"{PASSWORD}\nnot it\n", "utf-8")
    variables = environment(state, WEB_ADMIN_PASSWORD_FILE=str(tmp_path / "password"))
    return load_config(Path(os.devnull), variables)


def test_what_the_box_keeps_to_itself_is_known_in_every_spelling(config: Config) -> None:
    known = read_secrets(config)
    assert {SECRET.hex(), PASSWORD, "MIGHAgEAMBMGByq"} <= set(known)
    assert base64.b64encode(SECRET).decode().rstrip("=") in known
    assert "not it" not in known
    assert list(known) == sorted(known, key=len, reverse=True)


def test_a_box_that_was_never_started_keeps_nothing(tmp_path: Path) -> None:
    assert read_secrets(load_config(Path(os.devnull), environment(tmp_path / "state"))) == ()


@given(before=st.text(), after=st.text(), secret=st.text("abc123/+=", min_size=6))
def test_a_known_secret_is_gone_whatever_stands_around_it(
    before: str, after: str, secret: str
) -> None:
    assert secret not in clean(f"{before}{secret}{after}", [secret]).replace("[redacted]", "\0")


@pytest.mark.parametrize(
    "text",
    [
        "GET https://cdn.example/b?X-Amz-Date=1&X-Amz-Signature=deadbeefdeadbeef",
        "http://192.0.2.5/blobs/sha256:ab?expires=1&model=library/tiny&signature=deadbeefdeadbeef",
        "Authorization: Bearer deadbeefdeadbeef",
        '"proxy": "http://office:deadbeefdeadbeef@proxy.example:3128"',
        "cookie ollama-appliance=eyJhbGciOiJI.eyJzdWIiOiJi.deadbeefdeadbeef here",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    cleaned = clean(f"first\n{text}\nlast", ())
    assert "deadbeef" not in cleaned
    assert cleaned.startswith("first\n")
    assert cleaned.endswith("\nlast")


def test_a_token_of_ours_looks_like_one() -> None:
    tokens = Tokens(SECRET, now=lambda: 0.0, is_revoked=lambda token_id: False)
    token, _ = tokens.issue("backup", Role.ADMIN, 60)
    assert clean(f"made {token} for backup", ()) == "made [redacted] for backup"


def test_a_part_that_cannot_be_had_says_why_and_the_others_come() -> None:
    def fail() -> str:
        raise OSError("the disk is gone, and its password was hunter22")

    found = gather([("a.txt", fail), ("b.txt", lambda: "well")], ["hunter22"])
    assert found["a.txt"].startswith("could not be had: OSError: the disk is gone")
    assert "hunter22" not in found["a.txt"]
    assert found["b.txt"] == "well\n"


def test_of_a_part_without_end_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.cli.exhibits.EXHIBIT_SIZE_MAX", 5)
    assert gather([("a.txt", lambda: "0123456789")], ())["a.txt"] == "56789\n"


def test_of_a_stopped_box_all_is_had_that_is_there(config: Config) -> None:
    found = gather(list_exhibits(config), read_secrets(config))
    assert "aiohttp==" in found["versions.txt"]
    assert '"state_dir"' in found["settings.json"]
    assert found["status.json"].startswith("could not be had: BoxNotRunningError")
    assert "ca: 1 files" in found["state.txt"]
    assert "lo: 127.0.0.1/8" in found["network.txt"]
    assert "/etc/os-release" in found["system.txt"]
    assert not any(PASSWORD in text for text in found.values())
