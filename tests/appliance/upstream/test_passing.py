"""Requests handed on: as they came, answered as they are, and never to where none may go."""

import certifi
import pytest

from appliance.policy.addresses import check_origin_address
from appliance.upstream.dialling import Dialling
from appliance.upstream.passing import Passage
from appliance.upstream.source import OriginUnreachableError
from tests.fakes.wire import RawOrigin

MOVED = b"HTTP/1.1 307 Moved\r\nLocation: https://cdn.test/a?b=%2F\r\nContent-Length: 2\r\n\r\nok"


async def loopback(_: str) -> tuple[str, ...]:
    return ("127.0.0.1",)


def passage(origin: RawOrigin, dialling: Dialling | None = None) -> Passage:
    dialling = dialling or Dialling(loopback, certifi.where())
    return Passage(f"http://registry.test:{origin.port}", dialling, via="box")


@pytest.mark.parametrize("target", ["/v2/a/blobs/sha256%3Aab?x=%2f", "/v2", "//elsewhere/v2/"])
async def test_a_request_arrives_as_it_was_written(target: str) -> None:
    async with (
        RawOrigin(MOVED).serve() as origin,
        passage(origin) as way,
        way.ask("GET", target, {"Accept": "a/b"}) as reply,
    ):
        assert reply.status == 307
        assert reply.headers["Location"] == "https://cdn.test/a?b=%2F"
        assert await reply.read() == b"ok"
    (request,) = origin.requests
    assert request.head.startswith(f"GET {target} HTTP/1.1\r\n".encode())
    assert request.values("Host") == [f"registry.test:{origin.port}"]
    assert request.values("Accept") == ["a/b"]
    assert request.values("Via") == ["1.1 box"]
    assert request.values("User-Agent") == []


async def test_an_origin_that_is_away_is_a_fault() -> None:
    async with RawOrigin().serve() as origin:
        """It is gone again."""
    async with passage(origin) as way:
        with pytest.raises(OriginUnreachableError):
            async with way.ask("GET", "/v2/", {}):
                """It is never entered."""


async def test_where_no_request_may_go_nothing_is_dialled() -> None:
    async def checked(_: str) -> tuple[str, ...]:
        check_origin_address("127.0.0.1", frozenset(), allow_private=False)
        raise AssertionError("it is refused")

    async with RawOrigin(MOVED).serve() as origin:
        async with passage(origin, Dialling(checked, certifi.where())) as way:
            with pytest.raises(OriginUnreachableError):
                async with way.ask("GET", "/v2/", {}):
                    """It is never entered."""
        assert origin.connection_count == 0


async def test_a_fault_never_tells_what_was_asked_for() -> None:
    """The query of a token's or a blob's URL is its right."""
    async with RawOrigin(b"no HTTP at all").serve() as origin, passage(origin) as way:
        with pytest.raises(OriginUnreachableError) as caught:
            async with way.ask("GET", "/token?signature=secret", {}):
                """It is never entered."""
    assert "secret" not in str(caught.value)
