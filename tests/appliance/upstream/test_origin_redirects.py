"""Where the origin may lead the box, whom it trusts there, and what it says of it."""

import asyncio
import logging
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from appliance.demo.credentials import DemoAuthority
from appliance.demo.faults import BodyFault, Break
from appliance.demo.models import DemoBlob, DemoModel
from appliance.demo.outside import CDN_NAME, Outside
from appliance.upstream import dialling as dialling_module
from appliance.upstream import origin as origin_module
from appliance.upstream.dialling import Dialling
from appliance.upstream.origin import Origin
from appliance.upstream.source import (
    FetchedManifest,
    OriginMisbehavedError,
    OriginUnreachableError,
)
from tests.appliance.upstream.origins import (
    USER_AGENT,
    VIA,
    fetch,
    fixed,
    hang,
    origin,
    read,
    resolver,
    strict,
)
from tests.fakes.proxy import Proxy


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A server on loopback that must not be dialled."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def is_dialled(trap: socket.socket) -> bool:
    try:
        trap.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def test_the_trap_is_one(trap: socket.socket) -> None:
    """The tests below say that nobody came: somebody who comes is noticed."""
    _, writer = await asyncio.open_connection(*trap.getsockname())
    writer.close()
    await writer.wait_closed()
    assert is_dialled(trap)


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.1:{port}/",
        "https://[::1]:{port}/",
        "https://[::ffff:127.0.0.1]:{port}/",
        "https://0.0.0.0:{port}/",
        "https://2130706433:{port}/",
        "https://127.1:{port}/",
        "https://0x7f.0.0.1:{port}/",
        "https://localhost:{port}/",
        "https://inside.test:{port}/",
        "https://both.test:{port}/",
        "https://nowhere.test:{port}/",
        "https://user:secret@blobs.cdn.test:{port}/",
        "http://blobs.cdn.test:{port}/",
        "//127.0.0.1:{port}/",
        "ftp://blobs.cdn.test:{port}/",
        "https://[::1:{port}/",
    ],
)
@pytest.mark.parametrize("is_blob", [True, False])
async def test_a_redirect_into_the_lan_is_refused_before_a_socket_is_opened(
    outside: Outside, blob: DemoBlob, trap: socket.socket, location: str, is_blob: bool
) -> None:
    outside.names.zone["inside.test"] = ("127.0.0.1",)
    outside.names.zone["both.test"] = ("127.0.0.1", "::1")
    port = trap.getsockname()[1]
    outside.registry.answer = fixed(307, Location=location.format(port=port))
    how = Dialling(strict(outside), str(outside.ca_file))
    async with origin(outside, how) as source:
        with pytest.raises(OriginUnreachableError) as caught:
            await (read(source, blob) if is_blob else fetch(source))
        assert source.trouble is caught.value
    assert caught.value.hint
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert not is_dialled(trap)


async def test_a_registry_whose_name_leads_inside_is_not_dialled(
    outside: Outside, blob: DemoBlob
) -> None:
    how = Dialling(resolver(outside, allow_private=False).resolve, str(outside.ca_file))
    async with origin(outside, how) as source:
        with pytest.raises(OriginUnreachableError, match="loopback") as caught:
            await fetch(source)
        with pytest.raises(OriginUnreachableError, match="loopback"):
            await read(source, blob)
    assert "origin.allow_private" in caught.value.hint
    assert outside.ledger.asked == []


async def test_a_registry_at_a_private_address_is_not_dialled(outside: Outside) -> None:
    how = Dialling(resolver(outside, allow_private=False).resolve, str(outside.ca_file))
    url = f"https://127.0.0.1:{outside.registry.port}"
    async with Origin(url, how, via=VIA, user_agent=USER_AGENT) as source:
        with pytest.raises(OriginUnreachableError, match="loopback"):
            await fetch(source)
    assert outside.ledger.asked == []


async def test_a_name_that_nobody_knows_has_a_hint(outside: Outside) -> None:
    outside.names.zone.clear()
    async with origin(outside) as source:
        with pytest.raises(OriginUnreachableError, match=r"no address is known") as caught:
            await fetch(source)
    assert "registry.ollama.ai" in caught.value.hint


async def test_redirects_end(source: Origin, outside: Outside, blob: DemoBlob) -> None:
    outside.registry.answer = fixed(307, Location="/again")
    with pytest.raises(OriginMisbehavedError, match="more than"):
        await read(source, blob)
    assert outside.ledger.count() == origin_module.REDIRECTS_MAX + 1


async def test_a_plain_origin_may_lead_to_another(tmp_path: Path, model: DemoModel) -> None:
    async with Outside(tmp_path, lambda: 1e9, with_tls=False) as plain:
        plain.publish(model)
        async with origin(plain) as source:
            assert await read(source, model.blobs[0]) == model.blobs[0].path.read_bytes()


async def test_a_foreign_certificate_is_named_and_nothing_is_asked(
    outside: Outside, blob: DemoBlob, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = DemoAuthority(tmp_path / "other")
    async with origin(outside, Dialling(resolver(outside).resolve, str(other.ca_file))) as source:
        for attempt in (fetch(source), read(source, blob)):
            with pytest.raises(OriginUnreachableError, match="certificate") as caught:
                await attempt
            assert "origin.ca_file" in caught.value.hint
            assert source.trouble is caught.value
    assert outside.ledger.asked == []


async def test_a_certificate_for_another_name_is_foreign_too(
    outside: Outside, blob: DemoBlob
) -> None:
    outside.names.zone["other.test"] = (outside.cdn.address,)
    location = f"https://other.test:{outside.cdn.port}/x"
    async with origin(outside) as source:
        outside.registry.answer = fixed(307, Location=location)
        with pytest.raises(OriginUnreachableError, match=r"other\.test"):
            await read(source, blob)
    assert outside.ledger.count(site=CDN_NAME) == 0


async def babble(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 banana\r\n\r\n")
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize("fault", ["gone", "silent", "babbling", "refusing", "resetting", "lost"])
async def test_a_presigned_url_is_in_no_fault_and_no_log(
    outside: Outside,
    blob: DemoBlob,
    fault: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    impatient = aiohttp.ClientTimeout(total=None, sock_read=0.05)
    monkeypatch.setattr(dialling_module, "PATIENT", impatient)
    match fault:
        case "gone":
            await outside.cdn.go_down()
        case "silent":
            outside.cdn.answer = hang
        case "babbling":
            outside.cdn.answer = babble
        case "refusing":
            outside.faults.cdn_status = 403
        case "resetting":
            outside.faults.body = BodyFault(Break.RESET, 1000)
        case "lost":
            del outside.names.zone[CDN_NAME]
    async with origin(outside) as source:
        with pytest.raises(OriginUnreachableError) as caught:
            await read(source, blob)
    told = "".join(traceback.format_exception(caught.value)) + caught.value.hint + caplog.text
    assert "X-Amz" not in told
    assert blob.digest.encoded not in told


async def test_a_handshake_that_hangs_is_given_up_without_the_url(
    outside: Outside, blob: DemoBlob, trap: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = aiohttp.ClientTimeout(total=None, sock_connect=0.05)
    monkeypatch.setattr(dialling_module, "PATIENT", impatient)
    location = f"https://{CDN_NAME}:{trap.getsockname()[1]}/?X-Amz-Signature=1"
    outside.registry.answer = fixed(307, Location=location)
    async with origin(outside) as source:
        with pytest.raises(OriginUnreachableError, match="in time") as caught:
            await read(source, blob)
    assert "X-Amz" not in "".join(traceback.format_exception(caught.value))


async def never(host: str) -> tuple[str, ...]:
    raise AssertionError(f"we resolved {host} ourselves")


def through(proxy: Proxy, outside: Outside) -> Dialling:
    return Dialling(never, str(outside.ca_file), proxy.url)


async def test_everything_goes_through_the_proxy_that_is_set(
    outside: Outside, model: DemoModel, blob: DemoBlob, content: bytes
) -> None:
    async with Proxy() as proxy:
        async with origin(outside, through(proxy, outside)) as source:
            found = await fetch(source)
            assert isinstance(found, FetchedManifest)
            assert found.content == model.manifest
            assert await read(source, blob) == content
        assert set(proxy.asked) == {
            f"CONNECT {outside.registry.authority} HTTP/1.1",
            f"CONNECT {outside.cdn.authority} HTTP/1.1",
        }
    assert outside.names.asked.total() == 0


async def test_a_proxy_changes_nothing_about_certificates(outside: Outside, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    foreign = str(DemoAuthority(tmp_path / "other").ca_file)
    async with Proxy() as proxy, origin(outside, Dialling(never, foreign, proxy.url)) as source:
        with pytest.raises(OriginUnreachableError, match="certificate"):
            await fetch(source)
    assert outside.ledger.asked == []


async def test_a_proxy_that_refuses_is_named(outside: Outside) -> None:
    async with Proxy() as proxy:
        proxy.refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        async with origin(outside, through(proxy, outside)) as source:
            with pytest.raises(OriginUnreachableError, match="407") as caught:
                await fetch(source)
    assert "origin.proxy" in caught.value.hint


async def test_a_proxy_that_is_away_is_a_fault(outside: Outside) -> None:
    async with Proxy() as proxy:
        pass
    async with origin(outside, through(proxy, outside)) as source:
        with pytest.raises(OriginUnreachableError, match="cannot connect"):
            await fetch(source)


async def test_a_proxy_is_asked_for_no_private_address(
    outside: Outside, blob: DemoBlob, trap: socket.socket
) -> None:
    location = f"https://127.0.0.1:{trap.getsockname()[1]}/"
    async with Proxy() as proxy:
        how = Dialling(
            resolver(outside, allow_private=False).resolve, str(outside.ca_file), proxy.url
        )
        async with origin(outside, how) as source:
            outside.registry.answer = fixed(307, Location=location)
            with pytest.raises(OriginUnreachableError, match="loopback"):
                await read(source, blob)
        assert proxy.asked == [f"CONNECT {outside.registry.authority} HTTP/1.1"]
    assert not is_dialled(trap)
