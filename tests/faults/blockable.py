"""Runs a module with a loop that can be blocked in Python: SIGUSR1 blocks it until SIGUSR2 comes.

    python -m tests.faults.blockable PYTHON -m MODULE ARGUMENTS

A signal's handler runs in the main thread, between two steps of whatever is under way there; while
this one waits nothing else of the loop does, and other threads go on, as with a call that hangs.
"""

import runpy
import signal
import sys


def block(*_: object) -> None:
    signal.sigwait({signal.SIGUSR2})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})  # Before there are other threads.
    signal.signal(signal.SIGUSR1, block)
    sys.argv = sys.argv[3:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
