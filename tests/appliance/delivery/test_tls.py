"""The TLS outlet: every record leaves before the next is made, and counts when it is out."""

import pytest

from appliance.delivery.tls import BUFFER_BYTES, CHUNK_BYTES, TlsOutlet
from tests.appliance.delivery.outlets import CONTENT, drain, pair


class Brackets:
    """A session whose records can be read by eye."""

    def __init__(self) -> None:
        self.sealed_count = 0

    def seal_into(self, sealed: memoryview, plaintext: memoryview) -> int:
        self.sealed_count += 1
        records = b"<" + bytes(plaintext) + b">"
        sealed[: len(records)] = records
        return len(records)


class Broken:
    def seal_into(self, sealed: memoryview, plaintext: memoryview) -> int:
        raise ConnectionAbortedError(f"{len(plaintext)} bytes too many")


@pytest.fixture
def buffer() -> memoryview:
    return memoryview(bytearray(BUFFER_BYTES))


def test_a_chunk_is_read_sealed_and_sent(file_fd: int, buffer: memoryview) -> None:
    with pair() as (ours, theirs):
        outlet = TlsOutlet(ours.fileno(), Brackets())
        assert outlet.send(file_fd, 5, 100, buffer) == 100
        assert drain(theirs) == b"<" + CONTENT[5:105] + b">"
        assert not outlet.is_cut


def test_a_slow_socket_gets_each_chunk_once_and_whole(file_fd: int, buffer: memoryview) -> None:
    with pair() as (ours, theirs):
        session, came, position, steps = Brackets(), bytearray(), 0, 0
        outlet = TlsOutlet(ours.fileno(), session)
        while position < len(CONTENT):
            try:
                position += outlet.send(file_fd, position, len(CONTENT) - position, buffer)
                steps += 1
            except BlockingIOError:
                assert outlet.is_cut  # As it would be, were this the end.
                came += drain(theirs)
        came += drain(theirs)
    cuts = range(0, len(CONTENT), CHUNK_BYTES)
    assert bytes(came) == b"".join(b"<" + CONTENT[i : i + CHUNK_BYTES] + b">" for i in cuts)
    assert session.sealed_count == len(cuts) < steps


def test_a_file_that_ends_too_early_is_no_end_of_the_body(file_fd: int, buffer: memoryview) -> None:
    with pair() as (ours, _), pytest.raises(EOFError):
        TlsOutlet(ours.fileno(), Brackets()).send(file_fd, len(CONTENT), 1, buffer)


def test_a_broken_session_sends_nothing(file_fd: int, buffer: memoryview) -> None:
    with pair() as (ours, theirs):
        outlet = TlsOutlet(ours.fileno(), Broken())
        with pytest.raises(ConnectionAbortedError):
            outlet.send(file_fd, 0, 10, buffer)
        assert drain(theirs) == b""


def test_what_a_full_socket_leaves_is_the_job_s_own(file_fd: int, buffer: memoryview) -> None:
    """The buffer goes to the next job of the thread, which writes over it."""
    with pair() as (ours, theirs):
        outlet, came, position = TlsOutlet(ours.fileno(), Brackets()), bytearray(), 0
        while not outlet.is_cut:
            position += outlet.send(file_fd, position, CHUNK_BYTES, buffer)
        buffer[:] = bytes(len(buffer))
        while outlet.is_cut:
            came += drain(theirs)
            outlet.send(file_fd, position, CHUNK_BYTES, buffer)
        came += drain(theirs)
    assert bytes(came).endswith(b"<" + CONTENT[position : position + CHUNK_BYTES] + b">")
