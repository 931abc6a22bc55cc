"""The TLS outlet: every record leaves before the next is made, and counts when it is out."""

import pytest

from appliance.delivery.tls import CHUNK_BYTES, TlsOutlet
from tests.appliance.delivery.outlets import CONTENT, drain, pair


class Brackets:
    """A session whose records can be read by eye."""

    def __init__(self) -> None:
        self.sealed_count = 0

    def seal(self, plaintext: memoryview) -> bytes:
        self.sealed_count += 1
        return b"<" + bytes(plaintext) + b">"


class Broken:
    def seal(self, plaintext: memoryview) -> bytes:
        raise ConnectionAbortedError(f"{len(plaintext)} bytes too many")


@pytest.fixture
def buffer() -> memoryview:
    return memoryview(bytearray(CHUNK_BYTES))


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
