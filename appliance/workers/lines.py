"""Messages between two processes of the box, each with at most one file descriptor.

Sequential packets keep messages apart and pass descriptors with exactly the message that they
belong to. A message is a JSON object, and perhaps bytes after it.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

# Far below what a socket may hold by default (208 KiB), so that a message always fits.
MESSAGE_BYTES_MAX = 128 * 1024
CONTENT_BYTES_MAX = 64 * 1024  # Of those the bytes after the object.
_FD = struct.Struct("i")  # As SCM_RIGHTS carries it.


class LineGoneError(ConnectionError):
    """The other process has closed the line, or is gone."""


class Message:
    """What came over a line. Whoever takes `fd` closes it."""

    __slots__ = ("content", "fd", "words")

    def __init__(self, words: Mapping[str, Any], content: bytes, fd: int | None) -> None:
        self.words = words
        self.content = content
        self.fd = fd

    def take_fd(self) -> int:
        """The descriptor that must have come with it."""
        if self.fd is None:
            raise LineGoneError("a descriptor is missing")
        return self.fd


class Line:
    """One end of a line; one task sends and one receives at a time. Owns its socket."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._is_watched = False

    async def send(
        self, words: Mapping[str, Any], content: bytes = b"", fd: int | None = None
    ) -> None:
        """Send a message, when there is room. `fd` stays the caller's. Raises LineGoneError."""
        packet, fds = format_packet(words, content), [] if fd is None else [fd]
        while not self._try_send(packet, fds):
            await self._ready(is_to_send=True)

    def _try_send(self, packet: bytes, fds: list[int]) -> bool:
        try:
            socket.send_fds(self._end, [packet], fds, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as error:
            raise LineGoneError(str(error)) from error
        return True

    def tell(self, words: Mapping[str, Any]) -> bool:
        """Send a few words if there is room for them now; whether there was, or nobody is left."""
        try:
            self._end.send(format_packet(words), socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    async def receive(self) -> Message:
        """The next message. Raises LineGoneError once there is none."""
        while (received := self._try_receive()) is None:
            await self._ready(is_to_send=False)
        packet, fd = received
        try:
            return parse_packet(packet, fd)
        except ValueError as error:
            if fd is not None:
                os.close(fd)
            raise LineGoneError("what came is no message") from error

    def _try_receive(self) -> tuple[bytes, int | None] | None:
        """A packet and its descriptor, if one is there. `socket.recv_fds` takes no flags."""
        try:
            packet, ancillary, _, _ = self._end.recvmsg(
                MESSAGE_BYTES_MAX, socket.CMSG_LEN(_FD.size), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError as error:
            raise LineGoneError(str(error)) from error
        fds = [_FD.unpack(data[: _FD.size])[0] for _, _, data in ancillary]
        return packet, fds[0] if fds else None

    def watch(self, hear: Callable[[], None]) -> None:
        """Have `hear` called while something waits to be received; nobody receives meanwhile."""
        asyncio.get_running_loop().add_reader(self._end, hear)
        self._is_watched = True

    def unwatch(self) -> None:
        """End that, if it was begun."""
        if self._is_watched:
            self._is_watched = False
            asyncio.get_running_loop().remove_reader(self._end)

    def close(self) -> None:
        """Close it; what was sent before still arrives. Again does nothing."""
        self._end.close()

    async def _ready(self, *, is_to_send: bool) -> None:
        loop = asyncio.get_running_loop()
        watch, unwatch = loop.add_reader, loop.remove_reader
        if is_to_send:
            watch, unwatch = loop.add_writer, loop.remove_writer
        if self._end.fileno() < 0:
            raise LineGoneError("it was closed here")
        ready: asyncio.Future[None] = loop.create_future()
        watch(self._end, _resolve, ready)
        try:
            await ready
        finally:
            if self._end.fileno() >= 0:
                unwatch(self._end)


def open_line() -> tuple[Line, socket.socket]:
    """A new line: the end that stays here, and the one to give away and close."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Line(here), there


def format_packet(words: Mapping[str, Any], content: bytes = b"") -> bytes:
    """A message's bytes; the object has no line end, so the first one ends it."""
    return json.dumps(words, separators=(",", ":")).encode() + b"\n" + content


def parse_packet(packet: bytes, fd: int | None = None) -> Message:
    """A message from its bytes. Raises ValueError."""
    head, parted, content = packet.partition(b"\n")
    words = json.loads(head) if parted else None
    if not isinstance(words, dict):
        raise ValueError("no message")  # noqa: TRY004  # Text that does not parse, like the other.
    return Message(words, content, fd)


def _resolve(ready: asyncio.Future[None]) -> None:
    with suppress(asyncio.InvalidStateError):
        ready.set_result(None)
