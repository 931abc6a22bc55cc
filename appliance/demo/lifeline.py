"""Ends a pull from another thread: every socket it has open is shut, every sleep cut short."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager


class InterruptedPullError(Exception):
    """The pull was ended from outside."""

    hint = "pull again: it goes on where it stopped"

    def __init__(self) -> None:
        super().__init__("context canceled")


class Lifeline:
    """Shared by all threads of one pull. Cut once, it stays cut."""

    def __init__(self) -> None:
        self._cut = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    @property
    def is_cut(self) -> bool:
        return self._cut.is_set()

    def cut(self) -> None:
        """End the pull. May be called from any thread, more than once."""
        self._cut.set()
        with self._lock:
            for each in self._open:
                _shut(each)

    def check(self) -> None:
        """Raise InterruptedPullError if it is cut."""
        if self.is_cut:
            raise InterruptedPullError

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the cut. Raises InterruptedPullError."""
        self._cut.wait(seconds)
        self.check()

    def run_all[T](self, jobs: Sequence[Callable[[], T]], at_once: int, name: str) -> list[T]:
        """Run `jobs` in threads, and return what they return, in order.

        The first that fails cuts the line, which ends the others, and its error is raised.
        """
        with ThreadPoolExecutor(at_once, name) as pool:
            running = [pool.submit(each) for each in jobs]
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            failures = [error for each in done if (error := each.exception()) is not None]
            if failures:
                self.cut()
        for error in failures:
            if not isinstance(error, InterruptedPullError):
                raise error
        self.check()
        return [each.result() for each in running]

    @contextmanager
    def holding(self, connection: socket.socket) -> Iterator[None]:
        """Have `connection` shut when the line is cut; closes it at the end."""
        with self._lock:
            self._open.add(connection)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()


def _shut(connection: socket.socket) -> None:
    # The plain socket's own shutdown: TLS's would take the session from under the reading thread.
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return
