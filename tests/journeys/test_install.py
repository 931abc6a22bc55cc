"""install.sh for real, in every shell: a real box, a machine of its own, and who tampers."""

import asyncio
import hashlib
import json
import os
import pty
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from tests.journeys.conftest import Outcome, Scene, open_scene, run
from tests.programs import HOUSE, program
from tests.sandbox import Sandbox, open_sandbox

pytestmark = pytest.mark.journey

NAME = "registry.ollama.ai"
SCRIPT = HOUSE / "appliance/web/assets/install.sh"
SHELLS = ["dash", "bash", "busybox"]
CONSTRAINTS = f"permitted;DNS:{NAME},excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:::/::"


@dataclass
class Machine:
    """A machine that fetched `script`, in whose shell it is piped."""

    sandbox: Sandbox
    script: bytes
    shell: tuple[str | Path, ...]

    async def type(self, *words: str, network: bool = False, before: str = "") -> Outcome:
        shell = " ".join(map(str, self.shell))
        enter = ("sh", "-c", f'{before} {shell} -s -- "$@"', "sh", *words)
        return await run(*self.sandbox.command(*enter, network=network), stdin=self.script)


def machine_of(root: Path, script: bytes, shell: str) -> Machine:
    found = program(shell)
    return Machine(open_sandbox(root), script, (found, "sh") if shell == "busybox" else (found,))


@asynccontextmanager
async def open_machine(home: Path, shell: str) -> AsyncIterator[tuple[Scene, Machine]]:
    """A box that holds nothing yet, and a machine with its script."""
    async with open_scene(home) as scene:
        reply = await run("curl", "-fsS", f"{scene.stage.box.web_url}/install.sh")
        yield scene, machine_of(home / "machine", reply.out, shell)


@asynccontextmanager
async def open_machines(home: Path) -> AsyncIterator[tuple[Scene, list[Machine]]]:
    """The same, with a machine for each shell."""
    async with open_machine(home, SHELLS[0]) as (scene, first):
        others = [machine_of(home / shell, first.script, shell) for shell in SHELLS[1:]]
        yield scene, [first, *others]


async def fingerprint_of(scene: Scene) -> str:
    return f"SHA256:{(await scene.ask('/api/info'))['ca_fingerprint']}"


@asynccontextmanager
async def in_between(
    script: bytes, box_url: str, files: Mapping[str, bytes]
) -> AsyncIterator[bytes]:
    """Somebody who answers `files` in the box's place; gives the script that asks there."""

    async def answer(request: web.Request) -> web.Response:
        if request.path not in files:
            raise web.HTTPNotFound
        return web.Response(body=files[request.path])

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield script.replace(box_url.encode(), f"http://127.0.0.1:{port}".encode())
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_machine_is_connected_checked_and_put_back(home: Path, shell: str) -> None:
    async with open_machine(home, shell) as (scene, machine):
        before = machine.sandbox.contents()
        cold = await machine.type("--check")
        assert cold.code == 1
        assert f"NO: {NAME} does not lead to the box" in cold.out.decode()
        assert "NO: this system does not trust the box's CA" in cold.out.decode()

        words = ("--trust", "--yes", "--fingerprint", await fingerprint_of(scene))
        done = await machine.type(*words, "--hosts", "--proxy")
        assert done.code == 0, done.err
        hosts = (machine.sandbox.root / "hosts").read_text("utf-8")
        assert f"\n127.0.0.1 {NAME} # ollama-appliance\n" in hosts
        drop_in = machine.sandbox.root / "systemd/ollama.service.d/ollama-appliance.conf"
        proxy = f"http://127.0.0.1:{scene.stage.box.proxy_port}"
        assert drop_in.read_text("utf-8") == f"[Service]\nEnvironment=HTTPS_PROXY={proxy}\n"
        assert machine.sandbox.asked_of_systemd().count("restart ollama") == 2
        assert "daemon-reload" in machine.sandbox.asked_of_systemd()
        warm = (await machine.type("--check")).out.decode()
        assert f"ok: {NAME} leads to the box" in warm
        assert "ok: this system trusts the box's CA" in warm

        again = await machine.type(*words, "--hosts", "--proxy")
        assert again.code == 0, again.err
        assert (machine.sandbox.root / "hosts").read_text("utf-8") == hosts
        undone = await machine.type("--undo")
        assert undone.code == 0, undone.err
        assert machine.sandbox.contents() == before
        assert not drop_in.parent.exists()
        assert b"Nothing to undo" in (await machine.type("--undo")).out


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_model_is_copied_resumed_and_listed(home: Path, shell: str) -> None:
    async with open_machine(home, shell) as (scene, machine):
        content = (await scene.pull("first")).read_bytes()
        models = home / "models"
        models.mkdir(mode=0o750)
        os.chown(models, 4321, 8765)
        (models / ".ollama-appliance").mkdir()
        (models / ".ollama-appliance" / scene.weights.digest.encoded).write_bytes(
            content[:1_000_000]
        )
        spoilt = models / ".ollama-appliance" / scene.model.blobs[1].digest.encoded
        spoilt.write_bytes(b"\0")

        words = ("--offline-copy", "tiny:1b", "--models", str(models))
        done = await machine.type(*words, "--list")
        assert done.code == 0, done.err
        assert "tiny:1b" in done.out.decode().splitlines()[0]
        manifest = models / "manifests" / NAME / "library/tiny/1b"
        assert manifest.read_bytes() == scene.model.manifest
        listed = json.loads(scene.model.manifest)
        descriptors = [listed["config"], *listed["layers"]]
        for each in descriptors:
            blob = models / "blobs" / each["digest"].replace(":", "-")
            assert f"sha256:{hashlib.sha256(blob.read_bytes()).hexdigest()}" == each["digest"]
        assert {path.name for path in (models / "blobs").iterdir()} == {
            each["digest"].replace(":", "-") for each in descriptors
        }
        for path in models.rglob("*"):
            status = path.stat()
            assert (status.st_uid, status.st_gid) == (4321, 8765), path
            assert status.st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path
        assert not (models / ".ollama-appliance").exists()


async def test_with_a_fingerprint_the_manifest_comes_over_https(home: Path) -> None:
    async with open_machine(home, "dash") as (scene, machine):
        models = home / "models"
        models.mkdir()
        words = ("--offline-copy", "tiny:1b", "--models", str(models), "--fingerprint")
        done = await machine.type(*words, await fingerprint_of(scene))
        assert done.code == 0, done.err
        manifest = models / "manifests" / NAME / "library/tiny/1b"
        assert manifest.read_bytes() == scene.model.manifest
        manifest.unlink()
        refused = await machine.type(*words, "0" * 64)
        assert "not the fingerprint you gave" in refused.err
        assert not manifest.exists()


async def test_wrong_bytes_never_reach_the_store(home: Path) -> None:
    async with open_machines(home) as (scene, machines):
        await scene.pull("first")
        files = await tampered_files(scene)
        for machine in machines:
            models = machine.sandbox.root / "models"
            models.mkdir()
            async with in_between(machine.script, scene.stage.box.web_url, files) as script:
                machine.script = script
                done = await machine.type("--offline-copy", "tiny:1b", "--models", str(models))
            assert done.code == 1
            assert f"the bytes of {scene.weights.digest} are wrong, twice" in done.err
            left = [path for path in models.rglob("*") if path.is_file()]
            assert scene.weights.digest.encoded not in {path.name[-64:] for path in left}
            assert not (models / "manifests").exists()


async def tampered_files(scene: Scene) -> dict[str, bytes]:
    """The model as the box has it, but for one bit of the weights."""
    listed = json.loads(scene.model.manifest)
    files = {"/v2/library/tiny/manifests/1b": scene.model.manifest}
    for each in (listed["config"], *listed["layers"]):
        path = f"/v2/library/tiny/blobs/{each['digest']}"
        content = bytearray((await run("curl", "-fsSL", f"{scene.stage.box.web_url}{path}")).out)
        content[-1] ^= each["digest"] == str(scene.weights.digest)
        files[path] = bytes(content)
    return files


async def test_a_ca_is_not_trusted_unasked_or_by_another_fingerprint(home: Path) -> None:
    async with open_machines(home) as (scene, machines):
        for machine in machines:
            before = machine.sandbox.contents()
            unasked = await machine.type("--trust")
            assert unasked.code == 1
            assert "nobody can be asked" in unasked.err
            other = await machine.type("--trust", "--yes", "--fingerprint", "AB:" * 31 + "CD")
            assert other.code == 1
            assert "not the fingerprint you gave" in other.err
            dry = await machine.type("--trust", "--hosts", "--proxy", "--dry-run")
            assert dry.code == 0, dry.err
            assert b"would write /etc/hosts" in dry.out
            assert machine.sandbox.contents() == before
            assert (await fingerprint_of(scene)).encode() in dry.out


@pytest.mark.parametrize(
    ("constraints", "told"),
    [
        pytest.param(
            ("basicConstraints=critical,CA:TRUE,pathlen:0",), "nothing binds it", id="none"
        ),
        pytest.param(
            ("basicConstraints=critical,CA:TRUE,pathlen:0", f"nameConstraints={CONSTRAINTS}"),
            "nothing binds it",
            id="not critical",
        ),
        pytest.param(
            ("basicConstraints=critical,CA:TRUE", f"nameConstraints=critical,{CONSTRAINTS}"),
            "it can make other CAs",
            id="no path length",
        ),
        pytest.param(
            (
                "basicConstraints=critical,CA:TRUE,pathlen:0",
                f"nameConstraints=critical,permitted;DNS:bank.example,{CONSTRAINTS}",
            ),
            "it can speak for bank.example",
            id="another name",
        ),
        pytest.param(
            (
                "basicConstraints=critical,CA:TRUE,pathlen:0",
                f"nameConstraints=critical,permitted;DNS:{NAME}",
            ),
            "it can speak for addresses",
            id="addresses",
        ),
    ],
)
async def test_a_ca_that_is_not_bound_is_refused(
    home: Path, constraints: tuple[str, ...], told: str
) -> None:
    script = rendered().encode()
    machine = machine_of(home / "machine", script, "dash")
    before = machine.sandbox.contents()
    ca = home / "ca.pem"
    extensions = [word for each in constraints for word in ("-addext", each)]
    made = await run(
        *(program("openssl"), "req", "-x509", "-newkey", "ec"),
        *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=Ollama appliance CA"),
        *("-days", "9", "-config", bare_config(home), "-keyout", home / "key.pem", "-out", ca),
        *extensions,
    )
    assert made.code == 0, made.err
    shown = await run("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", ca)
    fingerprint = shown.out.decode().strip().rpartition("=")[2]
    async with in_between(script, "http://10.9.0.1", {"/ca.pem": ca.read_bytes()}) as tampered:
        machine.script = tampered
        done = await machine.type("--trust", "--yes", "--fingerprint", fingerprint)
    assert done.code == 1
    assert told in done.err
    assert machine.sandbox.contents() == before


def bare_config(home: Path) -> Path:
    """For `openssl req`: no extension but those that are asked for."""
    path = home / "openssl.conf"
    path.write_text("[req]\ndistinguished_name = name\n[name]\n", "utf-8")
    return path


def rendered() -> str:
    """The script of a box at 10.9.0.1 with a blob address; nobody is there."""
    values = {
        "BOX_URL": "http://10.9.0.1",
        "BOX_ADDRESS": "10.9.0.1",
        "BOX_HOST": "10.9.0.1",
        "WEB_PORT": "80",
        "TLS_PORT": "443",
        "PROXY_URL": "http://10.9.0.1:3128",
        "REGISTRY": NAME,
        "BLOB_HOST": "blobs.home.arpa",
        "BLOB_ADDRESS": "203.0.113.10",
    }
    text = SCRIPT.read_text("utf-8")
    lines = "".join(f"{key}={value}\n" for key, value in values.items())
    return text.replace("# @VALUES@\n", lines)


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_route_is_added_and_taken_back(home: Path, shell: str) -> None:
    program("ip")
    machine = machine_of(home / "machine", rendered().encode(), shell)
    network = (
        "ip link add wire0 type veth peer name wire1 && "
        "ip link set wire1 up && ip link set wire0 up && "
        "ip address add 10.9.0.2/24 dev wire0 || exit 77;"
    )
    once = await machine.type("--route", network=True, before=network)
    if once.code == 77:
        pytest.skip(f"no network can be made here: {once.err}")
    assert once.code == 0, once.err
    there = f"{network} ip route add 203.0.113.10/32 via 10.9.0.1; trap 'ip route show' EXIT;"
    undone = await machine.type("--undo", network=True, before=there)
    assert undone.code == 0, undone.err
    assert "203.0.113.10" not in undone.out.decode().splitlines()[-1]
    both = await machine.type("--hosts", network=True, before=network)
    assert b"203.0.113.10 blobs.home.arpa # ollama-appliance" in both.out


async def test_hosts_that_changed_since_lose_our_lines_only(home: Path) -> None:
    machine = machine_of(home / "machine", rendered().encode(), "dash")
    assert (await machine.type("--hosts")).code == 0
    hosts = machine.sandbox.root / "hosts"
    hosts.write_text(hosts.read_text("utf-8") + "10.0.0.9 printer\n", "utf-8")
    assert (await machine.type("--undo")).code == 0
    assert hosts.read_text("utf-8") == (
        "127.0.0.1\tlocalhost\n# no newline at the end\n10.0.0.9 printer\n"
    )
    hosts.write_text(f"10.0.0.7 {NAME}\n", "utf-8")
    refused = await machine.type("--hosts")
    assert refused.code == 1
    assert "take that line out first" in refused.err
    assert hosts.read_text("utf-8") == f"10.0.0.7 {NAME}\n"


@pytest.mark.parametrize("answer", ["y", "n"])
async def test_piped_in_it_asks_the_terminal(home: Path, answer: str) -> None:
    async with open_machine(home, "dash") as (_, machine):
        (home / "install.sh").write_bytes(machine.script)
        typed = f"cat {home}/install.sh | dash -s -- --trust"
        command = [str(each) for each in machine.sandbox.command("sh", "-c", typed)]
        command.insert(command.index("--wait"), "--ctty")
        code, said = await asyncio.to_thread(converse, command, f"{answer}\n".encode())
        anchor = machine.sandbox.root / "anchors/ollama-appliance.crt"
        assert anchor.exists() == (answer == "y"), said
        assert (code == 0) == (answer == "y")


def converse(command: list[str], answer: bytes) -> tuple[int, bytes]:
    """Run a command on a terminal of its own, and answer its first question."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        try:
            while more := os.read(ours, 4096):
                said += more
                if said.endswith(b"[y/N] "):
                    os.write(ours, answer)
        except OSError:  # How Linux says that the other end of a terminal is closed.
            pass
        os.close(ours)
        return process.wait(), said
