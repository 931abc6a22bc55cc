"""What an origin tells of the time: by the Date of its answers, and by its certificate's dates."""

import datetime
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trustme

from appliance.upstream.dialling import Dialling
from appliance.upstream.origin import Origin
from appliance.upstream.source import OriginUnreachableError
from tests.appliance.upstream.origins import USER_AGENT, VIA, fetch
from tests.fakes.wire import RawOrigin

DAY = 86400
NEVER = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)

type Open = Callable[..., AbstractAsyncContextManager[Origin]]


def answer(date: str) -> bytes:
    return f"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n{date}\r\n".encode()


async def loopback(name: str) -> tuple[str, ...]:
    return ("127.0.0.1",)


@pytest.fixture
def open_origin(tmp_path: Path) -> Open:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    @asynccontextmanager
    async def opened(
        date: str = "",
        *,
        scheme: str = "https",
        not_after: datetime.datetime | None = None,
        trusted: Path = tmp_path / "ca.pem",
    ) -> AsyncIterator[Origin]:
        tls = None
        if scheme == "https":
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(
                "origin.test", not_before=not_after and NEVER, not_after=not_after
            ).configure_cert(tls)
        how = Dialling(loopback, str(trusted))
        async with RawOrigin(answer(date)).serve(tls) as server:
            url = f"{scheme}://origin.test:{server.port}"
            async with Origin(url, how, via=VIA, user_agent=USER_AGENT) as origin:
                yield origin

    return opened


async def test_the_date_of_an_answer_is_the_origin_s_time(open_origin: Open) -> None:
    async with open_origin("Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n") as origin:
        assert origin.time is None
        await fetch(origin)
        assert origin.time is not None
        assert 1_700_000_000 <= origin.time < 1_700_000_000 + DAY


@pytest.mark.parametrize("date", ["", "Date: \r\n", "Date: soon\r\n", "Date: Tue, 99 Nov 2023\r\n"])
async def test_an_answer_without_a_date_tells_nothing(open_origin: Open, date: str) -> None:
    async with open_origin(date) as origin:
        await fetch(origin)
        assert origin.time is None


async def test_in_the_clear_anybody_may_have_said_it(open_origin: Open) -> None:
    date = "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
    async with open_origin(date, scheme="http") as origin:
        await fetch(origin)
        assert origin.time is None


async def test_a_certificate_that_is_not_of_today_is_told(open_origin: Open) -> None:
    ended = datetime.datetime.fromtimestamp(time.time(), datetime.UTC) - datetime.timedelta(days=9)
    async with open_origin(not_after=ended) as origin:
        with pytest.raises(OriginUnreachableError, match="certificate"):
            await fetch(origin)
        assert origin.is_misdated


async def test_another_fault_of_a_certificate_says_nothing_of_the_time(
    open_origin: Open, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    async with open_origin(trusted=other) as origin:
        with pytest.raises(OriginUnreachableError, match="certificate"):
            await fetch(origin)
        assert not origin.is_misdated
