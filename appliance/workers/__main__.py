"""`python -m appliance.workers FD`: started by the box, which is at the other end of FD."""

import signal
import socket
import sys

import uvloop

from appliance.workers.lines import Line
from appliance.workers.worker import run_worker


def main() -> int:
    """Serve until the box says stop, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the box stops us in order.
    uvloop.run(run_worker(Line(socket.socket(fileno=int(sys.argv[1])))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
