"""The box's registry as a worker has it: whole answers, bodies past the store, a box that goes."""

import asyncio
import os
from pathlib import Path

import pytest

from appliance.cache.readers import HeldReader
from appliance.cache.tally import Tally
from appliance.policy.addresses import AddressRefusedError
from appliance.policy.delivery import Door
from appliance.protocol.digest import digest_of
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.registry.requests import Answer, BlobAnswer, PassThrough, Reply, Request
from appliance.upstream.resolver import NameUnresolvableError
from appliance.upstream.source import OriginUnreachableError
from appliance.workers import remote as remote_module
from appliance.workers.lines import Line, LineGoneError, open_line
from appliance.workers.remote import RemoteReader, RemoteRegistry
from appliance.workers.words import BlobHead
from tests.fakes.lines import across_lines
from tests.fakes.registry import BLOB_HOST, Shop, open_shop

LAYER = bytes(range(256)) * 1000
ASKED = Request(Door.HTTPS, "GET", "/v2/", BLOB_HOST, None, "192.0.2.1", "192.0.2.2")


async def nowhere(_: str) -> tuple[str, ...]:
    raise NameUnresolvableError("registry.test", "set dns.upstream")


def granted(shop: Shop) -> Request:
    return Request(
        Door.HTTPS, "GET", shop.grant("tiny", LAYER), BLOB_HOST, None, "192.0.2.1", "192.0.2.2"
    )


class Saying:
    """A registry with one answer."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    async def answer(self, request: Request) -> Reply:
        return self.reply


async def test_an_answer_larger_than_a_message_comes_whole_and_its_line_serves_again() -> None:
    answer = Answer(200, {"A": "ü"}, os.urandom(1_000_000))
    async with across_lines(Saying(answer), nowhere) as remote:
        assert await remote.answer(ASKED) == answer
        (kept,) = remote._idle
        assert await remote.answer(ASKED) == answer
        assert remote._idle == [kept]


async def test_no_more_lines_are_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "LINES_IDLE_MAX", 2)
    async with across_lines(Saying(PassThrough()), nowhere) as remote:
        replies = await asyncio.gather(*(remote.answer(ASKED) for _ in range(5)))
        assert replies == [PassThrough()] * 5
        assert len(remote._idle) == 2


async def test_a_held_blob_is_read_from_the_box_s_file_and_counted_by_the_box(
    tmp_path: Path,
) -> None:
    async with open_shop(tmp_path / "state") as shop:
        shop.keep("tiny", LAYER)
        async with across_lines(shop.registry, nowhere) as remote:
            reply = await remote.answer(granted(shop))
            assert isinstance(reply, BlobAnswer)
            assert reply.reader.file_fd is not None
            (span,) = [each async for each in reply.reader.spans()]
            assert os.pread(reply.reader.file_fd, span.size_bytes, span.start) == LAYER
            reply.reader.note_sent(span.size_bytes)
            reply.reader.close()
        assert shop.cache.books.tally.since_start["served_bytes"] == len(LAYER)


async def test_bytes_found_wrong_while_they_leave_are_cut(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LAYER)
    file_fd, span = os.open(tmp_path / "file", os.O_RDONLY), Span(0, len(LAYER))
    held = HeldReader(digest_of(LAYER), span, len(LAYER), file_fd, Tally())
    async with across_lines(Saying(BlobAnswer(200, {}, held)), nowhere) as remote:
        reply = await remote.answer(ASKED)
        assert isinstance(reply, BlobAnswer)
        cut = asyncio.Event()
        reply.reader.on_spoilt(cut.set)
        assert [each async for each in reply.reader.spans()] == [span]
        assert not cut.is_set()
        held.spoil()
        await cut.wait()
        reply.reader.close()


async def test_what_goes_past_the_store_comes_in_chunks(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "state") as shop:
        shop.source.publish("tiny", LAYER)
        shop.min_free_bytes[0] = 2**60
        async with across_lines(shop.registry, nowhere) as remote:
            reply = await remote.answer(granted(shop))
            assert isinstance(reply, BlobAnswer)
            assert (reply.reader.file_fd, reply.reader.is_streamable()) == (None, True)
            assert b"".join([each async for each in reply.reader.chunks(0)]) == LAYER
            reply.reader.close()
            shop.source.cut_at = 1000
            cut = await remote.answer(granted(shop))
            assert isinstance(cut, BlobAnswer)
            with pytest.raises(OriginUnreachableError, match="cut on cue"):
                [each async for each in cut.reader.chunks(0)]
            cut.reader.close()


async def test_a_name_without_an_address_is_said_in_the_box_s_words() -> None:
    async def refusing(_: str) -> tuple[str, ...]:
        raise AddressRefusedError("10.0.0.1", "private", "set origin.allow_private")

    for resolve, told, hint in (
        (nowhere, "no address is known for registry.test", "set dns.upstream"),
        (refusing, "10.0.0.1 is private", "set origin.allow_private"),
    ):
        async with across_lines(Saying(PassThrough()), resolve) as remote:
            with pytest.raises(NameUnresolvableError, match=told) as caught:
                await remote.resolve("registry.test")
            assert caught.value.hint == hint


async def test_a_box_that_goes_ends_a_body_early() -> None:
    here, there = open_line()
    head = BlobHead(200, {}, Span(0, 10), 10, CacheStatus.HIT, is_streamable=False)
    reader = RemoteReader(here, head, None)
    there.close()
    assert [each async for each in reader.spans()] == []
    assert not reader.is_streamable()
    with pytest.raises(OriginUnreachableError, match="gone"):
        [each async for each in reader.chunks(0)]
    reader.close()


async def test_what_a_full_line_did_not_take_is_told_later() -> None:
    here, there = open_line()
    box = Line(there)
    head = BlobHead(200, {}, Span(0, 10), 10, CacheStatus.HIT, is_streamable=False)
    reader = RemoteReader(here, head, None)
    while here.tell({"fill": "x" * 1000}):
        pass
    reader.note_sent(3)
    for _ in range(2):
        await box.receive()
    reader.note_sent(4)
    reader.close()
    while "sent" not in (told := (await box.receive()).words):
        pass
    assert told == {"sent": 7}
    with pytest.raises(LineGoneError):
        await box.receive()
    box.close()


def test_a_registry_that_was_never_asked_closes() -> None:
    async def no_line() -> Line:
        raise AssertionError("not asked for")

    RemoteRegistry(no_line).close()
