"""One DNS message to a server, and the one that answers it.

Every question leaves from a fresh socket, hence a random port, connected to the one server it may
hear from; what answers another id or another question is not heard. The id is the caller's to
choose, at random. Timeouts are the caller's too.
"""

import asyncio
import socket
import struct

Server = tuple[str, int]  # An address and a port.

_MESSAGE_SIZE_BYTES_MAX = 65535
_HEADER_SIZE_BYTES = 12


async def exchange_udp(server: Server, query: bytes) -> bytes:
    """Ask by datagram and wait, without end, for the one that answers.

    Raises:
        OSError: nobody listens there.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(_scoped(server))
        await loop.sock_sendall(sock, query)
        while True:
            response = await loop.sock_recv(sock, _MESSAGE_SIZE_BYTES_MAX)
            if _answers(query, response):
                return response


async def exchange_tcp(server: Server, query: bytes) -> bytes:
    """Ask over a connection of its own and wait, without end, for the answer.

    Raises:
        OSError: nobody listens there, or what came is no answer.
    """
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(struct.pack("!H", len(query)) + query)
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        response = await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError(f"{server[0]} hung up") from error
    finally:
        writer.transport.abort()
    if not _answers(query, response):
        raise ConnectionError(f"{server[0]} answered something else")
    return response


def _scoped(server: Server) -> tuple[str, int] | tuple[str, int, int, int]:
    """Where to connect to: what a socket wants of a link-local server is its interface's number."""
    host, _, interface = server[0].partition("%")
    return (host, server[1], 0, socket.if_nametoindex(interface)) if interface else server


def _answers(query: bytes, response: bytes) -> bool:
    """Whether `response` is to `query`: its id and question; an error may leave the latter out."""
    if len(response) < _HEADER_SIZE_BYTES or response[:2] != query[:2] or not response[2] & 0x80:
        return False
    if response[4:6] == b"\0\0":
        return bool(response[3] & 0x0F)
    stop = _question_stop(query)
    return (
        response[4:6] == b"\0\1"
        and response[_HEADER_SIZE_BYTES : stop - 4].lower()
        == query[_HEADER_SIZE_BYTES : stop - 4].lower()
        and response[stop - 4 : stop] == query[stop - 4 : stop]
    )


def _question_stop(query: bytes) -> int:
    """Where the question of our own message ends, whose name is spelled out."""
    at = _HEADER_SIZE_BYTES
    while query[at]:
        at += 1 + query[at]
    return at + 5
