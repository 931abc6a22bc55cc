"""Servers of one blob, each in a process of its own: the real box, and nginx beside it."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme

from appliance.policy.grants import Grant, format_grant
from appliance.private_files import open_secret
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.reference import Repository, parse_model_name
from appliance.store.layout import Layout
from appliance.store.records import TagRecord
from appliance.store.store import Store, open_store

NAME = "registry.ollama.ai"
REPOSITORY = Repository("library", "bench")
START_SECONDS_MAX = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its process, where its blob is, and the CA to trust."""

    pid: int
    urls: dict[str, str]
    ca_file: Path

    def cpu_seconds(self) -> float:
        """User and system time so far; the kernel counts in hundredths."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mib(self, name: str = "VmRSS") -> float:
        """`VmRSS`, or `VmHWM` for the most there has been."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(each for each in status.splitlines() if each.startswith(f"{name}:"))
        return int(line.split()[1]) / 1024


def hold_blob(directory: Path, size_bytes: int) -> tuple[Path, Digest]:
    """Put a blob into a new store under `directory`; the file it lies in, and its digest.

    Its pages are all there: of a sparse file's one page every read would be a read of the cache.
    """
    piece = random.Random(1).randbytes(2**20)
    hashed = hashlib.sha256()
    for _ in range(size_bytes // len(piece)):
        hashed.update(piece)
    digest = Digest(hashed.hexdigest())
    with open_store(directory / "state") as store:
        pending = store.begin(digest, size_bytes, REPOSITORY, min_free_bytes=0)
        for position in range(0, size_bytes, len(piece)):
            pending.write(position, piece)
        pending.commit(stored_at=time.time())
        asyncio.run(_publish(store, digest, size_bytes))
    return Layout(directory / "state").blob(digest), digest


@contextlib.contextmanager
def run_box(directory: Path, digest: Digest) -> Iterator[Server]:
    """The whole box as it is started anywhere, on the store under `directory`."""
    root = directory / "state"
    grant = Grant(digest, REPOSITORY, int(time.time()) + 3600)
    target = f"/blobs/{digest}?{format_grant(open_secret(root / 'secret'), grant)}"
    tls, web = _free_port(), _free_port()
    settings = {
        "BOX_STATE_DIR": str(root),
        "BOX_LISTEN": "127.0.0.1",
        "DNS_ENABLED": "false",
        "TLS_PORT": str(tls),
        "WEB_PORTS": str(web),
        "CACHE_OFFLINE": "true",
        "CACHE_MIN_FREE": "1MiB",
    }
    environment = {f"OLLAMA_APPLIANCE_{key}": value for key, value in settings.items()}
    (directory / "appliance.conf").write_text("")
    command = [sys.executable, "-m", "appliance", "run"]
    environment["OLLAMA_APPLIANCE_CONFIG"] = str(directory / "appliance.conf")
    with (
        (directory / "box.log").open("w") as log,
        _running(command, environment, log.fileno()) as process,
    ):
        _wait_for(tls, process)
        urls = {"tls": f"https://{NAME}:{tls}{target}", "plain": f"http://127.0.0.1:{web}{target}"}
        yield Server(process.pid, urls, root / "ca" / "ca.pem")


async def _publish(store: Store, digest: Digest, size_bytes: int) -> None:
    layer = {"mediaType": "application/x", "digest": str(digest), "size": size_bytes}
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": [layer]}
    content = json.dumps(document).encode()
    record = TagRecord(
        reference=parse_model_name("bench"),
        accept=MANIFEST_TYPE,
        digest=digest_of(content),
        size_bytes=len(content),
        content_type=MANIFEST_TYPE,
        client_version_lowest=None,
        stored_at=time.time(),
        checked_at=time.time(),
    )
    await store.write_manifest(record, content)


@contextlib.contextmanager
def run_nginx(directory: Path, blob: Path, program: str) -> Iterator[Server]:
    """One nginx worker with sendfile, over TLS and in the clear."""
    authority = trustme.CA()
    leaf = authority.issue_cert(NAME)
    authority.cert_pem.write_to_path(directory / "ca.pem")
    leaf.cert_chain_pems[0].write_to_path(directory / "leaf.pem")
    leaf.private_key_pem.write_to_path(directory / "leaf.key")
    tls, web = _free_port(), _free_port()
    (directory / "nginx.conf").write_text(f"""
daemon off; master_process off; worker_processes 1;
pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
    fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
    ssl_certificate {directory}/leaf.pem; ssl_certificate_key {directory}/leaf.key;
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    server {{
        listen 127.0.0.1:{tls} ssl; listen 127.0.0.1:{web}; root {blob.parent};
    }}
}}
""")
    command = [program, "-c", str(directory / "nginx.conf"), "-p", str(directory)]
    with _running(command, {}, None) as process:
        _wait_for(tls, process)
        urls = {
            "tls": f"https://{NAME}:{tls}/{blob.name}",
            "plain": f"http://127.0.0.1:{web}/{blob.name}",
        }
        yield Server(process.pid, urls, directory / "ca.pem")


def find_nginx() -> str | None:
    """The machine's own, or the one that `scripts/debian-programs` has unpacked."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", ".cache/debian/bin"))
    found = shutil.which("nginx", path=path)
    return found and str(Path(found).absolute())


@contextlib.contextmanager
def _running(
    command: list[str], environment: dict[str, str], output: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=output, stderr=output
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise SystemExit(f"{process.args!r} does not listen")
