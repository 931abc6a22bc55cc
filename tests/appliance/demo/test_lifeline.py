"""The lifeline: cut from one thread, it ends the waits of another."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.demo.lifeline import InterruptedPullError, Lifeline


def test_cutting_ends_a_read_and_closes_the_socket() -> None:
    lifeline = Lifeline()
    here, there = socket.socketpair()
    with there, ThreadPoolExecutor() as pool, lifeline.holding(here):
        reading = pool.submit(here.recv, 1)
        lifeline.cut()
        assert reading.result(timeout=10) == b""
    assert here.fileno() == -1


def test_cutting_ends_a_sleep() -> None:
    lifeline = Lifeline()
    with ThreadPoolExecutor() as pool:
        sleeping = pool.submit(lifeline.sleep, 3600)
        lifeline.cut()
        with pytest.raises(InterruptedPullError, match="context canceled"):
            sleeping.result(timeout=10)


def test_nothing_begins_on_a_cut_line() -> None:
    lifeline = Lifeline()
    lifeline.sleep(0)
    lifeline.cut()
    lifeline.cut()
    here, there = socket.socketpair()
    with there, pytest.raises(InterruptedPullError), lifeline.holding(here):
        pytest.fail("it was cut")
    assert here.fileno() == -1
