"""The client that looks at nothing still counts every byte."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.fetching import cut
from bench.sink import Place, ShortBodyError, fetch_all


@contextmanager
def serving(answers: list[bytes], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answer one connection after another, whatever is asked; over TLS with a `context`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                if context is not None:
                    connection = context.wrap_socket(connection, server_side=True)
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_all_bytes_of_all_spans_are_counted() -> None:
    head = b"HTTP/1.1 206 Partial Content\r\n\r\n"
    with serving([head + bytes(500_000), head + bytes(500_000)]) as port:
        assert (
            fetch_all(Place("127.0.0.1", port, "/"), [(0, 500_000), (500_000, 1_000_000)])
            == 1_000_000
        )


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 206 Partial Content\r\n\r\n" + bytes(99), id="short"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100), id="not a range"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_anything_else_than_the_span_is_a_failure(answer: bytes) -> None:
    with serving([answer]) as port, pytest.raises(ShortBodyError):
        fetch_all(Place("127.0.0.1", port, "/"), [(0, 100)])


@pytest.mark.parametrize("count", [1, 3, 16])
def test_the_spans_are_the_whole_blob_and_nothing_twice(count: int) -> None:
    spans = cut(1000, count)
    assert len(spans) == count
    assert [each for start, stop in spans for each in range(start, stop)] == [*range(1000)]
