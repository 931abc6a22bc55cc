"""Lines: messages whole and in order, each with its descriptor, until one end is gone."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.workers.lines import (
    CONTENT_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Line,
    LineGoneError,
    format_packet,
    open_line,
    parse_packet,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def pair() -> tuple[Line, Line]:
    here, there = open_line()
    return here, Line(there)


@given(st.dictionaries(st.text(), JSON), st.binary())
def test_a_packet_is_read_back(words: dict[str, Any], content: bytes) -> None:
    message = parse_packet(format_packet(words, content))
    assert (message.words, message.content) == (words, content)


@given(st.binary())
def test_what_is_no_packet_is_a_value_error(packet: bytes) -> None:
    try:
        parse_packet(packet)
    except ValueError:
        return
    assert b"\n" in packet


async def test_messages_arrive_whole_and_in_order() -> None:
    here, there = pair()
    content = bytes(CONTENT_BYTES_MAX)
    async with asyncio.TaskGroup() as group:

        async def send() -> None:
            for number in range(50):  # More than a socket holds: it waits for the reader.
                await here.send({"number": number}, content)
            here.close()

        group.create_task(send())
        for number in range(50):
            message = await there.receive()
            assert (message.words, message.content) == ({"number": number}, content)
        with pytest.raises(LineGoneError):
            await there.receive()
    there.close()


async def test_a_descriptor_comes_with_its_own_message(tmp_path: Path) -> None:
    here, there = pair()
    (tmp_path / "file").write_bytes(b"content")
    with (tmp_path / "file").open("rb") as file:
        await here.send({"first": True})
        await here.send({"second": True}, fd=file.fileno())
    assert (await there.receive()).fd is None
    fd = (await there.receive()).take_fd()
    assert os.pread(fd, 10, 0) == b"content"
    assert not os.get_inheritable(fd)
    os.close(fd)
    await here.send({"third": True})
    with pytest.raises(LineGoneError, match="missing"):
        (await there.receive()).take_fd()
    here.close()
    there.close()


async def test_to_who_is_gone_nothing_can_be_sent() -> None:
    here, there = pair()
    there.close()
    with pytest.raises(LineGoneError):
        await here.send({"a": 1})
    assert here.tell({"a": 1})  # Nobody is left to be told: it is not to be tried again.
    here.close()
    with pytest.raises(LineGoneError):
        await here.receive()


async def test_what_a_full_line_does_not_take_is_not_told() -> None:
    here, there = pair()
    while here.tell({"fill": "x" * 1000}):
        pass
    assert (await there.receive()).words["fill"]
    here.close()
    there.close()


async def test_garbage_ends_a_line_and_keeps_no_descriptor() -> None:
    end, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line, before = Line(there), count_descriptors()
    socket.send_fds(end, [b"no object\n"], [end.fileno()])
    with pytest.raises(LineGoneError):
        await line.receive()
    assert count_descriptors() == before
    end.close()
    line.close()


def test_a_message_fits_where_it_is_received() -> None:
    assert CONTENT_BYTES_MAX * 2 <= MESSAGE_BYTES_MAX
