"""How hooks reach addons: those that listen, in order, whatever one of them does."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from mitmproxy import hooks, options
from mitmproxy.exceptions import AddonHalt
from mitmproxy.log import LegacyLogEvents
from mitmproxy.master import Master

from addons.hooks import listen


@dataclass
class BellHook(hooks.Hook):
    """Something that only these tests do."""

    heard: list[str]


class Sync:
    def bell(self, heard: list[str]) -> None:
        heard.append("sync")


class Async:
    async def bell(self, heard: list[str]) -> None:
        await asyncio.sleep(0)
        heard.append("async")


class Deaf:
    """Listens to nothing."""


class Failing:
    name = "failing"

    def bell(self, heard: list[str]) -> None:
        heard.append("failing")
        raise ValueError("on purpose")


class Halting:
    def bell(self, heard: list[str]) -> None:
        raise AddonHalt


@pytest.fixture
async def master() -> Master:
    master = Master(options.Options(), event_loop=asyncio.get_running_loop())
    listen(master)
    return master


@pytest.fixture(autouse=True)
def no_handler_is_left() -> Iterator[None]:
    yield
    assert not any(isinstance(each, LegacyLogEvents) for each in logging.getLogger().handlers)


async def ring(master: Master) -> list[str]:
    heard: list[str] = []
    await master.addons.trigger_event(BellHook(heard))
    return heard


async def test_those_that_listen_are_called_in_order(master: Master) -> None:
    master.addons.add(Deaf(), Async(), Sync())
    assert await ring(master) == ["async", "sync"]
    assert await ring(master) == ["async", "sync"]


async def test_who_comes_later_is_heard_and_who_goes_is_not(master: Master) -> None:
    master.addons.add(Sync())
    assert await ring(master) == ["sync"]
    late = Async()
    master.addons.add(late)
    assert await ring(master) == ["sync", "async"]
    master.addons.remove(late)
    assert await ring(master) == ["sync"]


async def test_one_that_fails_is_logged_and_the_next_is_called(
    master: Master, caplog: pytest.LogCaptureFixture
) -> None:
    master.addons.add(Failing(), Sync())
    assert await ring(master) == ["failing", "sync"]
    assert "Failing.bell failed" in caplog.text
    assert "on purpose" in caplog.text


async def test_one_that_halts_is_the_last(master: Master) -> None:
    master.addons.add(Sync(), Halting(), Async())
    assert await ring(master) == ["sync"]


async def test_a_line_of_the_log_is_no_hook(master: Master) -> None:
    class Reader:
        def __init__(self) -> None:
            self.read: list[object] = []

        def add_log(self, entry: object) -> None:
            self.read.append(entry)

    reader = Reader()
    master.addons.add(reader)
    logging.getLogger("https").warning("a line")
    await asyncio.sleep(0)  # mitmproxy tells of lines at the loop's next turn.
    assert reader.read == []


async def test_addons_of_before_would_be_lost(master: Master) -> None:
    master.addons.add(Sync())
    with pytest.raises(AssertionError):
        listen(master)
