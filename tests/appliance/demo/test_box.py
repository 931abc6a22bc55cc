"""A box in a process of its own: ready, reachable, stopped; or a reason why not."""

import asyncio
import contextlib
import os
import signal
import ssl
from dataclasses import replace

import pytest

from appliance.demo.box import BoxFailedError, BoxProcess
from appliance.demo.client import Client
from appliance.demo.names import resolve
from appliance.demo.outside import Outside

pytestmark = pytest.mark.journey


async def test_it_is_ready_answers_for_the_registry_and_stops(outside: Outside) -> None:
    directory = outside.ca_file.parent
    async with BoxProcess(directory, outside) as box:
        assert ssl.create_default_context(cafile=box.ca_file).get_ca_certs()
        dns = box.surroundings.dns
        assert "127.0.0.1" in await asyncio.to_thread(resolve, dns, "registry.ollama.ai")
        assert box.state_directory.is_dir()
    assert await box.wait() == 0


async def test_clients_pull_through_it_over_https_and_http(outside: Outside) -> None:
    directory = outside.ca_file.parent
    async with BoxProcess(directory, outside) as box:
        over_https = Client(directory / "one", box.surroundings)
        assert (await asyncio.to_thread(over_https.pull, "tiny")).sha256_ok
        once = outside.ledger.upstream_bytes
        over_http = Client(directory / "two", replace(box.surroundings, ca_file=None))
        assert (await asyncio.to_thread(over_http.pull, "tiny", insecure=True)).sha256_ok
    assert outside.ledger.upstream_bytes == once > 0


async def test_a_box_that_does_not_start_tells_why(outside: Outside) -> None:
    settings = {"DNS_UPSTREAM": "not an address"}
    with pytest.raises(BoxFailedError, match=r"(?s)ended with status 1; it said:.*dns.upstream"):
        async with BoxProcess(outside.ca_file.parent, outside, settings):
            pytest.fail("it cannot start")


async def test_a_box_that_dies_is_missed_and_its_dns_goes_with_the_context(
    outside: Outside,
) -> None:
    box = BoxProcess(outside.ca_file.parent, outside)
    await box.__aenter__()
    os.kill(box.pid, signal.SIGKILL)
    assert await box.wait() == -9
    dns = box.surroundings.dns
    assert await asyncio.to_thread(resolve, dns, "blobs.cdn.test")  # It outlives the box.
    reader, writer = await asyncio.open_connection(*dns)
    with pytest.raises(BoxFailedError, match="ended with status -9"):
        await box.__aexit__(None, None, None)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), timeout=2) == b""
    writer.close()


@pytest.mark.parametrize("with_dns", [False, True], ids=["alone", "with its DNS"])
async def test_one_that_was_killed_starts_again_where_it_was(
    outside: Outside, *, with_dns: bool
) -> None:
    directory = outside.ca_file.parent
    async with BoxProcess(directory, outside) as box:
        client = Client(directory / "one", box.surroundings)
        assert (await asyncio.to_thread(client.pull, "tiny")).sha256_ok
        first_pid = box.pid
        await box.crash(with_dns=with_dns)
        await box.restart()
        assert box.pid != first_pid
        assert "ready" in box.said
        client = Client(directory / "two", box.surroundings)
        assert (await asyncio.to_thread(client.pull, "tiny")).sha256_ok
    assert outside.ledger.agent_bytes.total() == outside.ledger.upstream_bytes > 0
