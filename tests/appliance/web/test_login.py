"""Logging in: with the password, from the box's own page, a few times a minute."""

from pathlib import Path

import pytest

from appliance.web.login import TRIES_MAX, PasswordFileError, read_password
from tests.appliance.web.conftest import Door

HOST = "10.0.0.5"
ORIGIN = f"Origin: http://{HOST}"
FORM = "Content-Type: application/x-www-form-urlencoded"
PASSWORD = "correct horse"
GIVEN = b"password=correct+horse"
WISH = b'{"model": "tiny"}'


@pytest.fixture
def _password(door: Door) -> None:
    door.desk.password_file.write_text(f"{PASSWORD}\n")


async def log_in(door: Door, form: bytes = GIVEN, *lines: str) -> tuple[int, str]:
    answer = await door.post("/login", form, FORM, ORIGIN, *lines, host=HOST)
    return answer.status, answer.fields.get("Set-Cookie", "")


@pytest.mark.usefixtures("_password")
async def test_the_password_gives_a_session_that_may_do_everything(door: Door) -> None:
    status, cookie = await log_in(door)
    assert status == 303
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    session = f"Cookie: {cookie.partition(';')[0]}"
    assert (await door.post("/api/v1/pin", WISH, session, ORIGIN, host=HOST)).status == 200
    answer = await door.post("/logout", b"", session, ORIGIN, host=HOST)
    assert (answer.status, "Max-Age=0" in answer.fields["Set-Cookie"]) == (303, True)


@pytest.mark.usefixtures("_password")
@pytest.mark.parametrize(
    "form", [b"password=wrong", b"password=", b"x=1", b"\xff\xfe", b"password=%ff"]
)
async def test_any_other_password_gives_none(door: Door, form: bytes) -> None:
    assert await log_in(door, form) == (403, "")
    assert [note[3] for note in door.desk.notes] == ["refused: wrong password"]


@pytest.mark.usefixtures("_password")
async def test_guessing_is_slow(door: Door) -> None:
    for _ in range(TRIES_MAX):
        assert (await log_in(door, b"password=wrong"))[0] == 403
    assert (await log_in(door))[0] == 429


@pytest.mark.usefixtures("_password")
async def test_a_session_that_is_over_does_not_hinder_a_new_one(door: Door) -> None:
    assert (await log_in(door, GIVEN, "Cookie: ollama-appliance=old"))[0] == 303


async def test_without_a_password_nobody_logs_in(door: Door) -> None:
    assert await log_in(door, b"password=") == (403, "")
    door.desk.password_file.write_text("short\n")
    assert await log_in(door, b"password=short") == (403, "")


def test_where_no_file_is_named_there_is_no_password_not_even_the_empty_one() -> None:
    with pytest.raises(PasswordFileError, match="not set"):
        read_password(None)


def test_only_the_first_line_is_the_password(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(f" {PASSWORD} \nmore\n")
    assert read_password(path) == PASSWORD


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 20])
def test_what_is_no_password_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(PasswordFileError) as caught:
        read_password(path)
    assert "web.admin_password_file" in caught.value.hint
    with pytest.raises(PasswordFileError):
        read_password(None)
