"""Makes a listening socket of a running process dead, and alive again: no hook in it is needed.

The kernel gives out a copy of another process's descriptor (pidfd_getfd(2)); shutdown(2) on the
copy ends the listening of both, and listen(2) begins it again.
"""

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PIDFD_GETFD = 438  # The same on every machine (syscalls(2)); the C library of some lacks it.
BACKLOG = 1024


@contextmanager
def closed_listener(port: int, pid: int | None = None) -> Iterator[None]:
    """While this is entered the process (this one, if none is named) listens there no more."""
    found = _copies(pid or os.getpid(), port)
    assert found, f"it listens at port {port}"
    for each in found:
        each.shutdown(socket.SHUT_RDWR)
    try:
        yield
    finally:
        for each in found:
            each.listen(BACKLOG)
            each.close()


def _copies(pid: int, port: int) -> list[socket.socket]:
    """Copies of the process's sockets that listen at a TCP port. Skips where that is forbidden."""
    process = os.pidfd_open(pid)
    try:
        candidates = [_copy(process, int(each.name)) for each in _sockets(pid)]
    finally:
        os.close(process)
    listening = []
    for each in candidates:
        if _is_listening(each, port):
            listening.append(each)
        else:
            each.close()
    return listening


def _sockets(pid: int) -> Iterator[Path]:
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(each.readlink()).startswith("socket:"):
                yield each


def _copy(process: int, descriptor: int) -> socket.socket:
    library = ctypes.CDLL(None, use_errno=True)
    copied = library.syscall(PIDFD_GETFD, process, descriptor, 0)
    if copied < 0:
        pytest.skip(f"descriptors cannot be copied here: {os.strerror(ctypes.get_errno())}")
    return socket.socket(fileno=copied)


def _is_listening(each: socket.socket, port: int) -> bool:
    if each.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    accepts = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(accepts) and each.getsockname()[1] == port
