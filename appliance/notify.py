"""What the box tells the service manager that started it (sd_notify(3)), where there is one.

systemd waits for READY=1, shows STATUS=, and with WatchdogSec= kills and restarts a box from which
WATCHDOG=1 stays away: its loop hangs.
"""

import socket
from contextlib import suppress


class Notifier:
    """Speaks to the socket that `NOTIFY_SOCKET` names; "" means that nobody listens."""

    def __init__(self, address: str) -> None:
        # A name that begins with @ is abstract (unix(7)).
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def tell(self, *facts: str) -> None:
        """Send assignments, as in `READY=1`; never waits, and never fails."""
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sending:
            sending.sendto("\n".join(facts).encode(), self._address)
