"""The control socket: who may ask, what is answered, what is left behind."""

import asyncio
import socket
import stat
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from appliance.control import (
    PREFIX,
    SOCKET_NAME,
    BoxNotRunningError,
    BoxPuzzledError,
    BoxRefusesError,
    Control,
    ask_box,
    call_box,
    follow_box,
)
from tests.fakes.corpus import AMBIGUOUS, GARBAGE
from tests.fakes.wire import Wire


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A short path: the name of a Unix socket has at most 108 bytes."""
    with TemporaryDirectory(prefix="box-") as name:
        yield Path(name)


async def _status() -> Any:
    return {"status": "healthy", "pulls": 3}


async def _broken() -> Any:
    raise OSError("the disk is gone")


QUESTIONS = {"status": _status, "broken": _broken}


async def test_a_question_gets_its_answer(state_dir: Path) -> None:
    async with Control(state_dir, QUESTIONS):
        assert await ask_box(state_dir, "status") == {"status": "healthy", "pulls": 3}


async def test_the_socket_is_its_owner_s_alone(state_dir: Path) -> None:
    async with Control(state_dir, QUESTIONS):
        mode = (state_dir / SOCKET_NAME).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600


def test_nothing_is_left_behind(state_dir: Path) -> None:
    async def open_and_close() -> None:
        async with Control(state_dir, QUESTIONS):
            pass

    asyncio.run(open_and_close())
    assert list(state_dir.iterdir()) == []


async def test_what_a_killed_box_left_is_replaced(state_dir: Path) -> None:
    for name in (SOCKET_NAME, "control.new"):
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(state_dir / name))
        left.close()
    with pytest.raises(BoxNotRunningError):
        await ask_box(state_dir, "status")
    async with Control(state_dir, QUESTIONS):
        assert await ask_box(state_dir, "status")


async def test_an_unknown_question_is_404_and_says_what_is_known(state_dir: Path) -> None:
    async with Control(state_dir, QUESTIONS):
        reader, writer = await asyncio.open_unix_connection(str(state_dir / SOCKET_NAME))
        writer.write(f"GET {PREFIX}weather HTTP/1.0\r\n\r\n".encode())
        told = await reader.read()
        writer.close()
        await writer.wait_closed()
        with pytest.raises(BoxPuzzledError, match="404"):
            await ask_box(state_dir, "weather")
    assert told.startswith(b"HTTP/1.0 404")
    assert told.endswith(b"this box answers: status, broken\n")


async def test_a_question_that_fails_is_not_taken_for_a_box_that_is_not_there(
    state_dir: Path,
) -> None:
    async with Control(state_dir, QUESTIONS):
        with pytest.raises(BoxPuzzledError, match="500") as caught:
            await ask_box(state_dir, "broken")
    assert "log" in caught.value.hint


async def test_without_a_box_the_error_says_how_to_start_one(state_dir: Path) -> None:
    with pytest.raises(BoxNotRunningError) as caught:
        await ask_box(state_dir, "status")
    assert "ollama-appliance run" in caught.value.hint


async def test_a_box_that_hangs_is_not_waited_for(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("appliance.control.CALL_SECONDS", 0.05)
    monkeypatch.setattr("appliance.control.STOP_SECONDS", 0.05)
    async with Control(state_dir, {"hang": hang}):
        with pytest.raises(BoxNotRunningError):
            await ask_box(state_dir, "hang")


def test_callers_without_a_loop_may_ask(state_dir: Path) -> None:
    with pytest.raises(BoxNotRunningError):
        call_box(state_dir, "status")


async def test_a_directory_that_is_not_there_is_an_error_and_leaves_no_socket(
    state_dir: Path,
) -> None:
    with pytest.raises(OSError, match="No such file"):
        await Control(state_dir / "absent", QUESTIONS).__aenter__()


async def test_a_state_directory_may_be_deeper_than_a_socket_s_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)

    async def ask() -> str:
        return "well"

    async with Control(deep, {"how": ask}):
        assert await ask_box(deep, "how") == "well"


class NoRoomError(Exception):
    hint = "make some"


def story(*told: Any) -> Any:
    """A story that tells these, an exception by raising it; and whether it was left tidily."""
    ends: list[str] = []

    async def tell(wish: Mapping[str, Any]) -> AsyncGenerator[Any]:
        try:
            for each in told:
                if isinstance(each, Exception):
                    raise each
                yield {**each, **wish}
        finally:
            ends.append("over")

    return tell, ends


async def test_a_story_is_told_line_by_line(state_dir: Path) -> None:
    tell, ends = story({"step": 1}, {"step": 2})
    async with Control(state_dir, {}, {}, {"tale": tell}):
        lines = [line async for line in follow_box(state_dir, "tale", {"of": "us"})]
    assert lines == [{"step": 1, "of": "us"}, {"step": 2, "of": "us"}]
    assert ends == ["over"]


async def test_a_story_may_be_refused_before_its_first_line(state_dir: Path) -> None:
    tell, _ = story(NoRoomError("there is no room"))
    async with Control(state_dir, {}, {}, {"tale": tell}):
        with pytest.raises(BoxRefusesError, match="there is no room") as caught:
            await anext(follow_box(state_dir, "tale", {}))
    assert caught.value.hint == "make some"


async def test_a_fault_on_the_way_is_the_last_line(state_dir: Path) -> None:
    tell, _ = story({"step": 1}, NoRoomError("there is no room"))
    async with Control(state_dir, {}, {}, {"tale": tell}):
        lines = [line async for line in follow_box(state_dir, "tale", {})]
    assert lines == [{"step": 1}, {"error": "there is no room", "hint": "make some"}]


async def test_who_leaves_a_story_ends_it_and_the_box_stands(state_dir: Path) -> None:
    is_over = asyncio.Event()

    async def tell(wish: Mapping[str, Any]) -> AsyncGenerator[Any]:
        try:
            while True:
                yield {"filler": "x" * 10_000}
                await asyncio.sleep(0)
        finally:
            is_over.set()

    async with Control(state_dir, QUESTIONS, {}, {"tale": tell}):
        async with aclosing(follow_box(state_dir, "tale", {})) as lines:
            await anext(lines)
        await is_over.wait()
        assert await ask_box(state_dir, "status")


async def test_a_story_that_is_not_known_is_404(state_dir: Path) -> None:
    async with Control(state_dir, {}):
        with pytest.raises(BoxPuzzledError, match="404"):
            await anext(follow_box(state_dir, "tale", {}))


async def test_without_a_box_nothing_is_told(state_dir: Path) -> None:
    with pytest.raises(BoxNotRunningError):
        await anext(follow_box(state_dir, "tale", {}))


# Whatever comes: only the box's own user may connect, and may be wrong as everybody.


async def speak(state_dir: Path, content: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(state_dir / SOCKET_NAME))
    try:
        writer.write(content)
        writer.write_eof()
        return await Wire(reader, writer).rest()
    finally:
        writer.transport.abort()
        await writer.wait_closed()


@pytest.mark.parametrize("content", [*AMBIGUOUS, *GARBAGE])
async def test_what_can_be_read_in_two_ways_leaves_it_standing(
    state_dir: Path, content: bytes
) -> None:
    async with Control(state_dir, QUESTIONS):
        assert b" 200 " not in (await speak(state_dir, content)).partition(b"\r\n")[0]
        assert await ask_box(state_dir, "status")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff", b'"pin"'])
async def test_what_is_no_wish_is_not_done(state_dir: Path, body: bytes) -> None:
    async def deed(wish: object) -> None:
        raise AssertionError("it was no wish")

    head = f"POST {PREFIX}pin HTTP/1.1\r\nHost: box\r\nContent-Length: {len(body)}\r\n\r\n"
    async with Control(state_dir, QUESTIONS, {"pin": deed}):
        assert (await speak(state_dir, head.encode() + body)).startswith(b"HTTP/1.1 400 ")
