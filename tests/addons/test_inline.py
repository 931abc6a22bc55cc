"""Bodies over TLS past mitmproxy: exact bytes, one thread at a time, and never more than asked."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Thread

import pytest
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.server import ConnectionHandler
from OpenSSL import SSL

from addons import inline, master
from addons.inline import LendableConnection
from addons.internals import MitmproxyChangedError
from appliance.cache.tally import Count
from appliance.certs import Authority
from appliance.delivery import pump
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.reference import parse_model_name
from tests.addons.conftest import NAME, Door, OpenDoor, request
from tests.fakes.registry import NOON
from tests.fakes.wire import Wire, dial
from tests.programs import program

LAYER = random.Random(7).randbytes(9_000_001)  # More than sockets hold on their way.
BLOB = f"/v2/library/tiny/blobs/{digest_of(LAYER)}"
MANIFEST = "/v2/library/tiny/manifests/latest"
WHOLE = request("GET", BLOB, "Range: bytes=0-")
PING = request("GET", "/v2/")

pytestmark = pytest.mark.usefixtures("no_crash")


def part(first: int, last: int) -> bytes:
    return request("GET", BLOB, f"Range: bytes={first}-{last}")


@contextlib.asynccontextmanager
async def begun(door: Door, asked: bytes = WHOLE) -> AsyncIterator[Wire]:
    """A client that has asked, and has read nothing but the beginning of the head.

    Its socket is kept small: loopback's would grow until they take all that it does not read.
    """
    async with door.dial() as wire:
        wire.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16
        )
        await wire.ask(request("GET", MANIFEST))
        wire.send(asked)
        assert (await wire.reader.readexactly(12)).startswith(b"HTTP/1.1 20")
        yield wire


def raw_socket(wire: Wire) -> int:
    """A duplicate of the client's socket, beneath its TLS."""
    return os.dup(wire.writer.get_extra_info("socket").fileno())


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
async def held(door: Door) -> Door:
    door.shop.source.publish("tiny", LAYER)
    door.shop.keep("tiny", LAYER)
    return door


@pytest.mark.parametrize("is_held", [True, False])
async def test_ranges_on_one_connection_are_exact(door: Door, *, is_held: bool) -> None:
    door.shop.source.publish("tiny", LAYER)
    if is_held:
        door.shop.keep("tiny", LAYER)
    async with door.dial() as wire:
        await wire.ask(request("GET", MANIFEST))
        for first, last in ((0, 0), (1, 1_500_000), (2_999_999, 9_000_000)):
            answer = await wire.ask(part(first, last))
            assert (answer.status, answer.body) == (206, LAYER[first : last + 1])
            assert answer.fields["Content-Range"] == f"bytes {first}-{last}/{len(LAYER)}"
        assert (await wire.ask(PING)).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_whole_blob_by_grant_in_each_tls(
    held: Door, authority: Authority, version: ssl.TLSVersion
) -> None:
    trusted = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    trusted.minimum_version = trusted.maximum_version = version
    async with dial(held.port, trusted=trusted, name=NAME) as wire:
        await wire.ask(request("GET", MANIFEST))
        answer = await wire.ask(request("GET", held.shop.grant("tiny", LAYER)))
        assert (answer.status, answer.body == LAYER) == (200, True)
        head = await wire.ask(request("HEAD", held.shop.grant("tiny", LAYER)))
        assert (head.status, head.fields["Content-Length"]) == (200, str(len(LAYER)))
        cipher = wire.writer.get_extra_info("cipher")
        assert "AES128" in cipher[0].replace("_", "")


async def test_a_body_is_sent_as_its_bytes_land(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)
    door.shop.source.gate.clear()
    async with begun(door) as wire:
        await wire.reader.readuntil(b"\r\n\r\n")
        door.shop.source.gate.set()
        assert await wire.reader.readexactly(len(LAYER)) == LAYER
        assert (await wire.ask(PING)).status == 200


async def test_a_body_that_cannot_be_had_is_cut_and_never_looks_complete(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.cache.runs.choose_delay", lambda *_, **__: None)
    door.shop.source.publish("tiny", LAYER)
    door.shop.source.cut_at = 1_000_000
    async with door.dial() as wire:
        await wire.ask(request("GET", MANIFEST))
        answer = await wire.ask(WHOLE)
        assert (answer.status, answer.is_cut) == (206, True)
        assert LAYER.startswith(answer.body)
    await door.settle()


async def test_what_does_not_fit_is_streamed_past_the_store(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)
    door.shop.min_free_bytes[0] = 1 << 60
    async with door.dial() as wire:
        await wire.ask(request("GET", MANIFEST))
        answer = await wire.ask(part(5, 8_000_000))
        assert (answer.status, answer.body) == (206, LAYER[5:8_000_001])
        assert (await wire.ask(PING)).status == 200


async def test_requests_sent_while_a_body_flows_are_answered_after_it(held: Door) -> None:
    async with begun(held) as wire:
        wire.send(part(3, 9) + PING)
        await wire.reader.readuntil(b"\r\n\r\n")
        assert await wire.reader.readexactly(len(LAYER)) == LAYER
        answers = [await wire.answer(), await wire.answer()]
    assert [each and each.body for each in answers] == [LAYER[3:10], b"{}"]


async def test_garbage_beneath_a_body_spoils_nothing_but_its_own_connection(
    held: Door,
) -> None:
    came = bytearray()
    async with begun(held) as wire:
        fd = raw_socket(wire)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(fd, bytes(1 << 16))
        os.close(fd)
        await wire.reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(OSError):  # Of the alert that follows the body.
            while chunk := await wire.reader.read(1 << 16):
                came += chunk
        assert len(came) > 1 << 20
        assert LAYER.startswith(came)
    assert await held.still_serves()


async def test_what_went_out_is_counted(held: Door) -> None:
    async with held.dial() as wire:
        await wire.ask(request("GET", MANIFEST))
        await wire.ask(part(0, 999))
        await wire.ask(PING)  # By now it is.
    assert held.shop.cache.books.tally.since_start[Count.SERVED_BYTES] == 1000


async def test_clients_that_leave_leave_nothing_behind(held: Door) -> None:
    assert await held.still_serves()
    await held.settle()
    before = count_descriptors()
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(leave(held))
    await held.settle()
    assert count_descriptors() <= before  # Lines that are kept may be fewer.


async def leave(door: Door) -> None:
    async with begun(door):
        pass


async def test_a_client_that_leaves_while_bytes_are_awaited_is_noticed(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)
    door.shop.source.gate.clear()
    async with begun(door):
        pass
    await door.settle()
    door.shop.source.gate.set()


async def test_a_client_that_takes_nothing_is_let_go(
    held: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with begun(held):
        monkeypatch.setattr(pump, "STALL_SECONDS_MAX", -1.0)
        await held.settle()


async def test_stopping_cuts_what_flows(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master, "DRAIN_SECONDS", 0.05)
    async with contextlib.AsyncExitStack() as stack:
        async with open_door() as door:
            door.shop.source.publish("tiny", LAYER)
            door.shop.keep("tiny", LAYER)
            wire = await stack.enter_async_context(begun(door))
        assert door.proxy.connection_count == 0
        assert len(await wire.rest()) < len(LAYER)


async def test_curl_gets_a_blob_and_its_ranges(held: Door, authority: Authority) -> None:
    async with held.dial() as wire:
        await wire.ask(request("GET", MANIFEST))
    authority_file = Path(held.shop.store.root) / "authority.pem"
    authority_file.write_bytes(authority.certificate_pem)
    base = f"https://{NAME}:{held.port}"
    command = [
        *(str(program("curl")), "--silent", "--fail", "--noproxy", "*"),
        *("--cacert", str(authority_file), "--resolve", f"{NAME}:{held.port}:127.0.0.1"),
    ]
    urls = [f"{base}{BLOB}", f"{base}{BLOB}"]
    process = await asyncio.create_subprocess_exec(
        *command, "-r", "5-4000004", *urls, stdout=asyncio.subprocess.PIPE
    )
    came, _ = await process.communicate()
    assert (process.returncode, came == LAYER[5:4_000_005] * 2) == (0, True)


BIG_MIB = 256


def hold_zeros(door: Door) -> Digest:
    """A model `big` of one blob of zeros."""
    piece, hashed = bytes(1 << 20), hashlib.sha256()
    for _ in range(BIG_MIB):
        hashed.update(piece)
    digest = Digest(hashed.hexdigest())
    repository = parse_model_name("big").repository
    pending = door.shop.store.begin(digest, BIG_MIB << 20, repository, min_free_bytes=0)
    for index in range(BIG_MIB):
        pending.write(index << 20, piece)
    pending.commit(stored_at=NOON)
    return digest


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_a_large_blob_costs_no_memory_however_many_take_it_slowly(door: Door) -> None:
    digest = hold_zeros(door)
    layer = {"mediaType": "application/x", "digest": str(digest), "size": BIG_MIB << 20}
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": [layer]}
    door.shop.source.manifests[parse_model_name("big")] = json.dumps(document).encode()
    async with door.dial() as wire, contextlib.AsyncExitStack() as stack:
        await wire.ask(request("GET", "/v2/library/big/manifests/latest"))
        asked = request("GET", f"/v2/library/big/blobs/{digest}", "Range: bytes=0-")
        before_mib = resident_mib()
        for _ in range(64):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", door.port, ssl=door.trusted, server_hostname=NAME, limit=1024
            )
            stack.push_async_callback(hang_up, writer)
            writer.write(asked)
            assert await reader.readexactly(12) == b"HTTP/1.1 206"
        hashed, left = hashlib.sha256(), BIG_MIB << 20
        wire.send(asked)
        await wire.reader.readuntil(b"\r\n\r\n")
        while left:
            chunk = await wire.reader.read(1 << 20)
            assert chunk, f"cut: {left}"
            hashed.update(chunk)
            left -= len(chunk)
        assert hashed.hexdigest() == digest.encoded
        assert resident_mib() - before_mib < 96
    await door.settle()


def test_a_lent_tls_object_is_used_by_one_thread() -> None:
    connection = LendableConnection(SSL.Context(SSL.TLS_SERVER_METHOD))
    connection.lend()
    assert connection.is_lent
    failures: list[type[Exception]] = []

    def use() -> None:
        try:
            connection.bio_read(1)
        except SSL.WantReadError as error:
            failures.append(type(error))

    other = Thread(target=use)
    other.start()
    other.join()
    assert failures == [SSL.WantReadError], "it was the other thread's, and empty"
    with pytest.raises(AssertionError, match="two threads"):
        connection.recv(1)
    connection.take_back()
    with pytest.raises(SSL.WantReadError):
        connection.bio_read(1)


def test_a_session_that_is_broken_says_so_as_a_connection_does() -> None:
    connection = LendableConnection(SSL.Context(SSL.TLS_SERVER_METHOD))
    connection.set_accept_state()
    with pytest.raises(ConnectionAbortedError):
        connection.seal(b"before any handshake")


def test_the_internals_are_where_they_were() -> None:
    inline.check_internals()
    assert inline.find_trouble() == ""


@pytest.mark.parametrize(
    ("owner", "name"), [(HttpStream, "flow_done"), (HttpStream, "state_consume_request_body")]
)
def test_a_mitmproxy_that_changed_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    monkeypatch.setattr(owner, name, None)
    assert f"has no {name} any more" in inline.find_trouble()
    assert "requirements.lock" in inline.find_trouble()


def test_a_lock_that_is_gone_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConnectionHandler, "__init__", lambda self: None)
    with pytest.raises(MitmproxyChangedError, match="_drain_lock"):
        inline.check_internals()


def test_an_openssl_that_hides_its_memory_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "_LIBRARY", object())
    assert "has no BIO_read any more" in inline.find_trouble()
