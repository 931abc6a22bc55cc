"""The plain outlet: what the socket takes, from where it was asked."""

import pytest

from appliance.delivery.plain import PlainOutlet
from tests.appliance.delivery.outlets import CONTENT, drain, pair

NO_BUFFER = memoryview(b"")


def test_it_sends_from_the_position_and_no_more_than_asked(file_fd: int) -> None:
    with pair() as (ours, theirs):
        assert PlainOutlet(ours.fileno()).send(file_fd, 5, 100, NO_BUFFER) == 100
        assert drain(theirs) == CONTENT[5:105]


def test_a_full_socket_says_so(file_fd: int) -> None:
    with pair() as (ours, theirs):
        outlet = PlainOutlet(ours.fileno())
        sent = outlet.send(file_fd, 0, len(CONTENT), NO_BUFFER)
        assert 0 < sent < len(CONTENT)
        with pytest.raises(BlockingIOError):
            outlet.send(file_fd, sent, len(CONTENT) - sent, NO_BUFFER)
        assert drain(theirs) == CONTENT[:sent]


def test_a_file_that_ends_too_early_is_no_end_of_the_body(file_fd: int) -> None:
    with pair() as (ours, _), pytest.raises(EOFError):
        PlainOutlet(ours.fileno()).send(file_fd, len(CONTENT), 1, NO_BUFFER)
