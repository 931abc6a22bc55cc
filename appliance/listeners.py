"""The sockets the box listens on, and what it does where a port cannot be had.

A port that nobody chose has a fallback; one that the operator chose is taken or it is an error,
because clients and firewalls rely on it.
"""

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.accepting import BACKLOG

EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # Who may use it is access.allow's to say.


class PortUnavailableError(Exception):
    """A port cannot be had; `hint` says what to type."""

    def __init__(self, port: int, reason: str, hint: str) -> None:
        super().__init__(f"port {port} cannot be had: {reason}")
        self.port = port
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Listener:
    """Bound and listening sockets of one port, one for each address."""

    port: int
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        for each in self.sockets:
            each.close()


def open_listener(addresses: Sequence[str], port: int, *, key: str) -> Listener:
    """Listen on `port` of every address; `key` is the setting that names the port.

    Raises:
        PortUnavailableError: one of them cannot be bound.
    """
    opened: list[socket.socket] = []
    for address in addresses or EVERY_ADDRESS:
        try:
            opened.append(_open(address, port))
        except OSError as error:
            if not addresses and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                continue  # This machine has no IPv6.
            Listener(port, tuple(opened)).close()
            raise PortUnavailableError(port, error.strerror or str(error), _hint(error, key)) from (
                error
            )
    if not opened:
        raise PortUnavailableError(port, "this machine has no network at all", f"check {key}")
    return Listener(port, tuple(opened))


def _open(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((address, port))
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def _hint(error: OSError, key: str) -> str:
    if error.errno == errno.EACCES:
        return f"run it as root or as the service, or set {key} to a port above 1023"
    if error.errno == errno.EADDRINUSE:
        return f"see who has it: ss -ltnp; then stop that, or set {key} to another"
    return f"set {key} or box.listen to what this machine has"
