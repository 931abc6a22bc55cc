"""Blobs over a real wire: presigned or not, whole or in part, and never a byte that is wrong."""

from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web

from appliance.demo.faults import BodyFault, Break
from appliance.demo.models import DemoBlob, DemoModel
from appliance.demo.outside import CDN_NAME, Outside
from appliance.demo.site import Answering
from appliance.protocol.ranges import Span
from appliance.upstream import dialling as dialling_module
from appliance.upstream import origin as origin_module
from appliance.upstream.origin import Origin
from appliance.upstream.source import (
    OriginMisbehavedError,
    OriginUnreachableError,
)
from tests.appliance.upstream.origins import (
    TINY,
    fixed,
    in_chunks,
    origin,
    read,
    read_until_it_breaks,
)


@pytest.mark.parametrize("is_direct", [False, True])
async def test_every_span_comes_as_it_is(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes, is_direct: bool
) -> None:
    outside.manners.sends_blobs_itself = is_direct
    for start, stop in ((0, None), (0, 1), (299_999, None), (1000, 70_000)):
        assert await read(source, blob, start, stop) == content[start:stop]


async def test_a_presigned_url_is_dialled_byte_for_byte_and_remembered(
    source: Origin, outside: Outside, blob: DemoBlob
) -> None:
    await read(source, blob, 0, 10)
    await read(source, blob, 10, 20)
    registry = outside.ledger.requests(site=outside.registry.name)
    cdn = outside.ledger.requests(site=CDN_NAME)
    assert (len(registry), len(cdn)) == (1, 2)
    assert cdn[0].target == cdn[1].target
    assert all(each in cdn[0].target for each in ("%2F", "%20", "+", "~"))


async def test_a_presigned_url_may_hold_any_spelling(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes
) -> None:
    target = "/a//b/./c/../d%2f%2F%7e~!$&'()*+,;=:@/?q=%20+%2B&r='(*)'&s=a%3db=c&t=?/%C3%A9&&u="
    outside.registry.answer = fixed(307, Location=outside.cdn.url + target)
    outside.cdn.answer = carrying(content)
    assert await read(source, blob, 0, 10) == content[:10]
    assert outside.ledger.requests(site=CDN_NAME)[0].target == target


def carrying(
    content: bytes, status: int = 206, total: str | None = None, **fields: str
) -> Answering:
    """Answer a ranged request as it should be, but for what is given."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        said = f"bytes {first}-{last}/{total or len(content)}"
        headers = {"Content-Range": said} | {
            name.replace("_", "-"): value for name, value in fields.items()
        }
        return web.Response(status=status, headers=headers, body=content[first : last + 1])

    return answer


async def test_an_expired_url_is_renewed(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes
) -> None:
    await read(source, blob, 0, 10)
    outside.presigner.expire_now()
    assert await read(source, blob, 10) == content[10:]
    assert outside.ledger.count(site=outside.registry.name) == 2
    assert source.trouble is None


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_url_that_is_refused_even_when_new_is_misbehaviour(
    source: Origin, outside: Outside, blob: DemoBlob, status: int
) -> None:
    outside.faults.cdn_status = status
    for _ in range(2):
        with pytest.raises(OriginMisbehavedError, match=str(status)):
            await read(source, blob)
    outside.faults.cdn_status = None
    assert await read(source, blob, 0, 1)


@pytest.mark.parametrize("status", [429, 503])
async def test_an_origin_that_has_enough_says_when_to_ask_again(
    source: Origin, outside: Outside, blob: DemoBlob, status: int
) -> None:
    outside.faults.cdn_status, outside.faults.retry_after_seconds = status, 7
    with pytest.raises(OriginUnreachableError, match=str(status)) as caught:
        await read(source, blob)
    assert caught.value.retry_after_seconds == 7.0


async def test_a_url_that_fails_is_forgotten(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes
) -> None:
    """The registry may lead elsewhere by now; the URL itself would live for a day."""
    await read(source, blob, 0, 10)
    await outside.cdn.go_down()
    with pytest.raises(OriginUnreachableError):
        await read(source, blob)
    outside.manners.sends_blobs_itself = True
    assert await read(source, blob) == content


async def test_only_so_many_urls_are_remembered(
    source: Origin, outside: Outside, model: DemoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin_module, "PRESIGNED_URLS_MAX", 1)
    for blob in (*model.blobs[:2], *model.blobs[:2]):
        await read(source, blob)
    assert outside.ledger.count(site=outside.registry.name) == 4


async def test_a_registry_that_sends_blobs_itself_is_asked_each_time(
    source: Origin, outside: Outside, blob: DemoBlob
) -> None:
    outside.manners.sends_blobs_itself = True
    await read(source, blob, 0, 10)
    await read(source, blob, 10, 20)
    assert [each.site for each in outside.ledger.asked] == [outside.registry.name] * 2


async def test_a_whole_blob_serves_for_its_beginning(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes
) -> None:
    outside.cdn.answer = fixed(200, content)
    assert await read(source, blob, 0, 1000) == content[:1000]
    assert await read(source, blob) == content


WRONG: dict[str, Callable[[bytes], Answering]] = {
    "another range": lambda content: carrying(content, Content_Range="bytes 1-300000/300001"),
    "a shorter range": lambda content: carrying(content, Content_Range="bytes 10-299998/300000"),
    "another total": lambda content: carrying(content, total="300001"),
    "no range": lambda content: fixed(206, content[10:]),
    "several ranges": lambda content: fixed(
        206, content, Content_Type="multipart/byteranges; boundary=x"
    ),
    "nonsense for a range": lambda content: carrying(content, Content_Range="bytes */300000"),
    "the whole for a part": lambda content: fixed(200, content),
    "a page": lambda _: fixed(200, b"<!DOCTYPE html>", Content_Type="text/html"),
    "an encoding": lambda content: carrying(content, Content_Encoding="gzip"),
    "no content": lambda _: fixed(204),
    "a range that cannot be": lambda _: fixed(416, Content_Range="bytes */300000"),
    "a refusal": lambda _: fixed(404, b'{"errors":[]}'),
    "a redirect to nowhere": lambda _: fixed(307),
}
WRONG_FROM_THE_START: dict[str, Callable[[bytes], Answering]] = {
    "a page of the whole": lambda _: fixed(200, b"<!DOCTYPE html>", Content_Type="text/html"),
    "a page of no length": lambda _: in_chunks(200, b"<!DOCTYPE html>", Content_Type="text/html"),
    "a shorter blob": lambda content: fixed(200, content[:-1]),
    "a longer blob": lambda content: fixed(200, content + b"x"),
    "an encoded blob": lambda content: fixed(200, content, Content_Encoding="br"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_was_not_asked_for_is_misbehaviour(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes, what: str
) -> None:
    outside.cdn.answer = WRONG[what](content)
    came, fault = await read_until_it_breaks(source, blob, start=10)
    assert isinstance(fault, OriginMisbehavedError)
    assert came == b""
    assert source.trouble is fault


@pytest.mark.parametrize("what", WRONG_FROM_THE_START)
async def test_a_whole_answer_is_no_better(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes, what: str
) -> None:
    outside.cdn.answer = WRONG_FROM_THE_START[what](content)
    came, fault = await read_until_it_breaks(source, blob)
    assert isinstance(fault, OriginMisbehavedError)
    assert came == b""


async def test_a_shifted_range_of_the_cdn_is_noticed(
    source: Origin, outside: Outside, blob: DemoBlob
) -> None:
    outside.faults.range_shift_bytes = 1
    with pytest.raises(OriginMisbehavedError, match="another range"):
        await read(source, blob)


async def test_a_total_that_the_origin_does_not_know_is_none_of_ours(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes
) -> None:
    outside.cdn.answer = carrying(content, total="*")
    assert await read(source, blob, 10) == content[10:]


async def test_bytes_beyond_the_span_are_dropped(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes
) -> None:
    outside.cdn.answer = in_chunks(
        206, content[10:] + b"stray", Content_Range=f"bytes 10-19/{blob.size_bytes}"
    )
    assert await read(source, blob, 10, 20) == content[10:20]


@pytest.mark.parametrize("kind", [Break.RESET, Break.TRUNCATE])
async def test_a_body_that_breaks_off_is_good_up_to_there(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes, kind: Break
) -> None:
    outside.faults.body = BodyFault(kind, 100_000)
    came, fault = await read_until_it_breaks(source, blob)
    assert not isinstance(fault, OriginMisbehavedError)
    assert came == content[: len(came)]
    assert len(came) <= 100_000
    assert source.trouble is fault


async def test_a_body_that_ends_early_in_good_order_is_no_whole_one(
    source: Origin, outside: Outside, blob: DemoBlob, content: bytes
) -> None:
    outside.cdn.answer = in_chunks(
        206, content[:1000], Content_Range=f"bytes 0-{blob.size_bytes - 1}/{blob.size_bytes}"
    )
    came, fault = await read_until_it_breaks(source, blob)
    assert came == content[:1000]
    assert str(blob.size_bytes - 1000) in str(fault)


async def test_a_body_that_stalls_is_given_up(
    outside: Outside, blob: DemoBlob, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = aiohttp.ClientTimeout(total=None, sock_read=0.05)
    monkeypatch.setattr(dialling_module, "PATIENT", impatient)
    outside.faults.body = BodyFault(Break.STALL, 100_000)
    async with origin(outside) as source:
        came, fault = await read_until_it_breaks(source, blob)
    assert came == content[: len(came)]
    assert "in time" in str(fault)


async def test_a_blob_from_a_cdn_in_trouble_is_unreachable(
    source: Origin, outside: Outside, blob: DemoBlob
) -> None:
    outside.cdn.answer = fixed(503, Retry_After="3")
    with pytest.raises(OriginUnreachableError) as caught:
        await read(source, blob)
    assert caught.value.retry_after_seconds == 3.0


async def test_leaving_a_body_early_harms_nobody(
    source: Origin, blob: DemoBlob, content: bytes
) -> None:
    whole = Span(0, blob.size_bytes)
    async with source.open_span(TINY, blob.digest, whole, blob.size_bytes) as chunks:
        assert await anext(chunks)
    assert source.trouble is None
    assert await read(source, blob) == content


@pytest.mark.parametrize("fault", [OSError(28, "no space left"), TimeoutError(), ValueError()])
async def test_a_fault_of_the_caller_s_own_is_not_the_origin_s(
    source: Origin, blob: DemoBlob, fault: Exception
) -> None:
    """A full disk must not look like a dead line: it would be tried again and again."""

    async def fill_the_disk() -> None:
        whole = Span(0, blob.size_bytes)
        async with source.open_span(TINY, blob.digest, whole, blob.size_bytes) as chunks:
            async for _ in chunks:
                raise fault

    with pytest.raises(type(fault)) as caught:
        await fill_the_disk()
    assert caught.value is fault
    assert source.trouble is None
