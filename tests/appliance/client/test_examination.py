"""A machine beside a real box, with one thing wrong at a time: what is found, and what to type."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from appliance.client.examination import Here, Sought, examine_client, look_up
from appliance.demo.ports import choose_port
from appliance.examination import Finding
from appliance.upstream import questions
from tests.appliance.boxes import LOOPBACK, RunningBox, make_config, running_box
from tests.appliance.dns.nameserver import NameServer, Respond, failing, silence, zone

NAME, TRUTH, TRUTH_6 = "registry.ollama.ai", "104.21.75.227", "2606:4700:3030::6815:4be3"
WORLD = "ollama.com 300 A 34.36.133.15\n"
LEADS_HERE = zone(f"{NAME} 30 A {LOOPBACK}\n{WORLD}")
LEADS_PAST = zone(f"{NAME} 300 A {TRUTH}\n{WORLD}")
LEAKS = zone(f"{NAME} 30 A {LOOPBACK}\n{NAME} 300 AAAA {TRUTH_6}\n{WORLD}")
EMPTIES = zone(f"{NAME} 30 TXT private-answer-taken-out\n{WORLD}")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "ASK_SECONDS", 0.5)


@dataclass
class Client:
    """A machine whose resolv.conf names these servers, each answering as it is given."""

    root: Path
    servers: Mapping[str, Respond] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    looked_up: tuple[str, ...] = (LOOPBACK,)

    def write(self, path: str, content: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
        return file

    def trust(self, box: RunningBox) -> Path:
        pem = (box.config.state_dir / "ca" / "ca.pem").read_text("ascii")
        return self.write("etc/ssl/certs/ca-certificates.crt", pem)

    def serve(self, *environ: str) -> None:
        """Have an `ollama serve` run, whose files are this machine's."""
        self.write("proc/7/comm", "ollama\n")
        self.write("proc/7/cmdline", "ollama\0serve\0")
        self.write("proc/7/environ", "\0".join(environ))
        (self.root / "proc/7/root").symlink_to("../..")

    async def examine(self, box: RunningBox) -> dict[str, Finding]:
        async with AsyncExitStack() as stack:
            places = {}
            for address, respond in self.servers.items():
                server = await stack.enter_async_context(NameServer(respond))
                places[address] = server.at
            if self.servers and not (self.root / "etc/resolv.conf").exists():
                lines = "".join(f"nameserver {each}\n" for each in self.servers)
                await asyncio.to_thread(self.write, "etc/resolv.conf", lines)
            here = Here(self.environ, self.root, lambda name: self.looked_up, places.__getitem__)
            found = [each async for each in examine_client(sought(box), here)]
        return {each.what: each for each in found}


def sought(box: RunningBox) -> Sought:
    config = box.config
    return Sought(LOOPBACK, config.web.ports[0], config.dns.port, config.tls.port)


@asynccontextmanager
async def open_box(tmp_path: Path) -> AsyncIterator[RunningBox]:
    async with running_box(make_config(tmp_path / "state")) as box:
        yield box


def troubles(found: Mapping[str, Finding]) -> dict[str, str]:
    assert all(bool(each.hint) != each.is_ok for each in found.values())
    return {what: each.detail for what, each in found.items() if not each.is_ok}


async def test_a_machine_with_nothing_wrong_has_nothing_to_type(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        client = Client(tmp_path / "client", {"192.168.1.1": LEADS_HERE})
        await asyncio.to_thread(client.trust, box)
        found = await client.examine(box)
    assert troubles(found) == {}
    assert set(found) == {
        "box", "https", "dns of the box", "dns 192.168.1.1", "this machine", "ollama",
        "this shell: HTTPS_PROXY", "this system: CA",
    }  # fmt: skip


DNS_CAUSES = {
    "another answers": ("192.168.1.1", LEADS_PAST, f"leads past the box: {TRUTH}", "DHCP option 6"),
    "its AAAA": ("192.168.1.1", LEAKS, f"by IPv6: {LOOPBACK}, {TRUTH_6}", "dns snippets"),
    "rebinding": ("192.168.1.1", EMPTIES, "protection against DNS rebinding", "rebind-domain-ok"),
    "silent": ("192.168.1.1", silence, "does not answer", "is it up?"),
    "failing": ("192.168.1.1", failing("SERVFAIL"), "answers with failures", "is it up?"),
    "RDNSS": ("fd00::1", LEADS_PAST, "a server by IPv6 leads past", "RDNSS or DHCPv6"),
    "Docker's": ("127.0.0.11", LEADS_PAST, "Docker's own resolver leads past", "docker run --dns"),
    "the stub": ("127.0.0.53", LEADS_PAST, "systemd-resolved", "resolvectl"),
    "a program here": ("127.0.0.1", LEADS_PAST, "a program on this machine", "--hosts"),
}


async def test_each_cause_in_dns_is_told_apart(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        for number, (cause, row) in enumerate(DNS_CAUSES.items()):
            address, respond, detail, hint = row
            client = Client(tmp_path / f"client{number}", {address: respond})
            await asyncio.to_thread(client.trust, box)
            found = await client.examine(box)
            assert list(troubles(found)) == [f"dns {address}"], cause
            assert detail in found[f"dns {address}"].detail, cause
            assert hint in found[f"dns {address}"].hint, cause


async def test_of_two_servers_the_one_that_leads_elsewhere_is_named(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        servers = {"192.168.1.1": LEADS_HERE, "9.9.9.9": LEADS_PAST}
        client = Client(tmp_path / "client", servers)
        await asyncio.to_thread(client.trust, box)
        found = await client.examine(box)
    assert list(troubles(found)) == ["dns 9.9.9.9"]
    assert "one of 2, and any of them may be asked" in found["dns 9.9.9.9"].detail


async def test_servers_behind_the_stub_and_a_cluster_s_are_seen(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        servers = {"127.0.0.53": LEADS_HERE, "8.8.8.8": LEADS_PAST}
        client = Client(tmp_path / "client", servers)
        client.write("etc/resolv.conf", "nameserver 127.0.0.53\n")
        client.write("run/systemd/resolve/resolv.conf", "nameserver 8.8.8.8\n")
        assert "dns 8.8.8.8" in troubles(await client.examine(box))
        pod = Client(tmp_path / "pod", {"10.96.0.10": LEADS_PAST})
        pod.write("etc/resolv.conf", "search x.svc.cluster.local\nnameserver 10.96.0.10\n")
        assert "coredns" in (await pod.examine(box))["dns 10.96.0.10"].hint


async def test_dns_that_is_carried_past_the_network_is_named_where_it_may_be(
    tmp_path: Path,
) -> None:
    async with open_box(tmp_path) as box:
        client = Client(tmp_path / "client", {"127.0.0.1": LEADS_PAST})
        client.write("proc/5/comm", "cloudflared\n")
        found = await client.examine(box)
        assert "cloudflared runs here" in troubles(found)["dns over https"]
        other = Client(tmp_path / "other", {"192.168.1.1": LEADS_HERE})
        other.write("proc/5/comm", "cloudflared\n")
        assert "dns over https" not in await other.examine(box)


async def test_a_server_that_forgets_the_blob_host_is_told(tmp_path: Path) -> None:
    blobs = "ollama-blobs.home.arpa"
    settings = {"BLOBS_ADDRESS": "203.0.113.10", "BLOBS_PUBLISHED": "true"}
    knows = zone(f"{NAME} 30 A {LOOPBACK}\n{blobs} 30 A 203.0.113.10\n{WORLD}")
    # Of a box on loopback only its DNS knows the address; nothing is fetched there.
    async with running_box(make_config(tmp_path / "state", BOX_LISTEN="", **settings)) as box:
        servers = {"192.168.1.1": LEADS_HERE, "192.168.1.2": knows, "9.9.9.9": LEADS_PAST}
        client = Client(tmp_path / "client", servers)
        found = await client.examine(box)
    assert f"dns 9.9.9.9: {blobs}" not in found
    assert found[f"dns 192.168.1.2: {blobs}"].is_ok
    assert "answers nothing for A" in troubles(found)[f"dns 192.168.1.1: {blobs}"]
    assert "there, answer 203.0.113.10" in found[f"dns 192.168.1.1: {blobs}"].hint


async def test_a_line_of_the_hosts_file_is_shown_for_good_and_for_bad(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        client = Client(tmp_path / "client")
        client.write("etc/hosts", f"{LOOPBACK} {NAME}\n")
        assert "by /etc/hosts" in (await client.examine(box))["this machine"].detail
        client.write("etc/hosts", f"{TRUTH} {NAME}\n")
        client.looked_up = (TRUTH,)
        found = await client.examine(box)
        assert f"take its line out of /etc/hosts: {TRUTH}" in found["this machine"].hint
        client.write("etc/hosts", "")
        client.looked_up = ()
        found = await client.examine(box)
        assert "leads to nowhere" in troubles(found)["this machine"]
        assert "--hosts" in found["this machine"].hint


async def test_an_ollama_server_is_judged_by_its_own_environment_and_files(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        client = Client(tmp_path / "client", environ={"HTTPS_PROXY": "http://shell.example:1"})
        client.serve("HTTPS_PROXY=http://u:secret@office.example:3128", "HTTP_PROXY=office:3128")
        found = troubles(await client.examine(box))
        what = "ollama serve, pid 7"
        assert "[redacted]@office.example" in found[f"{what}: HTTPS_PROXY"]
        assert "secret" not in str(found)
        assert "blobs that the box sends in the clear" in found[f"{what}: HTTP_PROXY"]
        assert "does not trust the box's CA" in found[f"{what}: CA"]
        assert not [each for each in found if "shell" in each]

        client.write("proc/7/environ", f"HTTPS_PROXY=http://{LOOPBACK}:3128")
        await asyncio.to_thread(client.trust, box)
        well = await client.examine(box)
        assert [each for each in troubles(well) if each.startswith(what)] == []
        assert "is the box" in well[f"{what}: HTTPS_PROXY"].detail

        excluded = f"HTTPS_PROXY=x:1\0HTTP_PROXY=x:1\0NO_PROXY={NAME},{LOOPBACK}"
        client.write("proc/7/environ", excluded)
        assert not [each for each in troubles(await client.examine(box)) if "PROXY" in each]

        client.write("proc/7/environ", "SSL_CERT_FILE=/etc/mine.pem")
        found = troubles(await client.examine(box))
        assert f"{what}: CA" not in found  # The directories are read beside it.
        client.write("proc/7/environ", "SSL_CERT_FILE=/etc/mine.pem\0SSL_CERT_DIR=/etc/none")
        found = troubles(await client.examine(box))
        assert "reads only SSL_CERT_FILE=/etc/mine.pem SSL_CERT_DIR" in found[f"{what}: CA"]


async def test_one_that_was_started_before_it_trusted_the_box_is_to_be_restarted(
    tmp_path: Path,
) -> None:
    async with open_box(tmp_path) as box:
        client = Client(tmp_path / "client")
        client.serve()
        await asyncio.to_thread(client.trust, box)
        client.write("proc/stat", "cpu 1\nbtime 1000\n")
        client.write("proc/7/stat", f"7 (ollama (x)) S {' '.join('0' * 18)} 500 0")
        found = await client.examine(box)
    assert "changed after it was started" in troubles(found)["ollama serve, pid 7: CA"]
    assert "systemctl restart ollama" in found["ollama serve, pid 7: CA"].hint


async def test_what_is_not_ours_to_read_asks_for_root(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box:
        client = Client(tmp_path / "client")
        client.serve()
        (client.root / "proc/7/environ").unlink()
        found = await client.examine(box)
    assert "sudo" in found["ollama serve, pid 7"].hint


async def test_an_unwell_box_and_closed_doors_are_the_box_s(tmp_path: Path) -> None:
    async with open_box(tmp_path) as box, NameServer(LEADS_PAST) as past:
        client = Client(tmp_path / "client")
        here = Here({}, client.root, lambda name: (LOOPBACK,))
        place = Sought(LOOPBACK, box.config.web.ports[0], past.at[1], choose_port())
        found = {each.what: each async for each in examine_client(place, here)}
        assert "ollama-appliance status" in found["dns of the box"].hint
        assert f"let TCP {place.tls_port} pass" in found["https"].hint
        silent = Sought(LOOPBACK, box.config.web.ports[0], choose_port(), box.config.tls.port)
        found = {each.what: each async for each in examine_client(silent, here)}
        assert found["dns of the box"].is_ok


@pytest.mark.parametrize("pem", [b"nothing", b"-----BEGIN CERTIFICATE-----\nAA\n-----END"])
async def test_whatever_answers_in_the_box_s_place_is_a_finding(tmp_path: Path, pem: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/ca.pem":
            return web.Response(body=pem)
        return web.Response(text=json.dumps({"registry": NAME, "server_ips": []}))

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    place = Sought(LOOPBACK, runner.addresses[0][1], choose_port(), choose_port())
    here = Here({}, tmp_path, lambda name: ())
    try:
        found = [each async for each in examine_client(place, here)]
    finally:
        await runner.cleanup()
    assert [(each.what, each.is_ok) for each in found] == [("box", False)]
    assert "is that its address" in found[0].hint


async def test_a_box_that_does_not_answer_is_the_only_finding(tmp_path: Path) -> None:
    place = Sought(LOOPBACK, choose_port())
    found = [each async for each in examine_client(place, Here({}, tmp_path))]
    assert [each.what for each in found] == ["box"]
    assert "firewall" in found[0].hint


def test_the_system_s_own_look_up_is_asked() -> None:
    assert LOOPBACK in look_up("localhost")
    assert look_up("no.such.name.invalid") == ()
