"""Servers of one blob, each in a process of its own: the real box, and nginx beside it."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import trustme

from appliance.demo.ports import choose_port
from appliance.policy.grants import Grant, format_grant
from appliance.private_files import open_secret
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.reference import Repository, parse_model_name
from appliance.store.layout import Layout
from appliance.store.records import TagRecord
from appliance.store.store import Store, open_store
from bench.processes import cpu_seconds

NAME = "registry.ollama.ai"
REPOSITORY = Repository("library", "bench")
START_SECONDS_MAX = 30.0
MANIFEST_TARGET = f"/v2/{REPOSITORY}/manifests/latest"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its process, where its blob is, and the CA to trust."""

    pid: int
    urls: dict[str, str]
    ca_file: Path

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children so far."""
        return cpu_seconds(self.pid)


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
def run_box(
    directory: Path, digest: Digest, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """The whole box as it is started anywhere, on the store under `directory`, until it is ready.

    `settings` are more keys, spelt as in the environment without its prefix.
    """
    root = directory / "state"
    grant = Grant(digest, REPOSITORY, int(time.time()) + 24 * 3600)
    target = f"/blobs/{digest}?{format_grant(open_secret(root / 'secret'), grant)}"
    tls, web = choose_port(), choose_port()
    own = {
        "BOX_STATE_DIR": str(root),
        "BOX_LISTEN": LOOPBACK,
        "DNS_ENABLED": "false",
        "TLS_PORT": str(tls),
        "PROXY_ENABLED": "false",
        "WEB_PORTS": str(web),
        "CACHE_OFFLINE": "true",
        "CACHE_FRESH_SECONDS": "3600",
        "CACHE_MIN_FREE": "1MiB",
        **(settings or {}),
    }
    environment = {f"OLLAMA_APPLIANCE_{key}": value for key, value in own.items()}
    (directory / "appliance.conf").write_text("")
    command = [sys.executable, "-m", "appliance", "run"]
    environment["OLLAMA_APPLIANCE_CONFIG"] = str(directory / "appliance.conf")
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    with (directory / "box.log").open("w") as log, running(command, environment, log) as process:
        _wait_until_ready(process)
        secure, plain = f"https://{NAME}:{tls}", f"http://{LOOPBACK}:{web}"
        urls = {
            "tls": f"{secure}{target}",
            "plain": f"{plain}{target}",
            "tls manifest": f"{secure}{MANIFEST_TARGET}",
            "plain manifest": f"{plain}{MANIFEST_TARGET}",
        }
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
    """One nginx worker with sendfile, over TLS and in the clear, and a manifest's bytes beside."""
    (directory / "www").mkdir()
    (directory / "www" / "blob").hardlink_to(blob)
    (directory / "www" / "manifest").write_text(json.dumps({"schemaVersion": 2, "layers": [{}]}))
    authority = trustme.CA()
    leaf = authority.issue_cert(NAME)
    authority.cert_pem.write_to_path(directory / "ca.pem")
    leaf.cert_chain_pems[0].write_to_path(directory / "leaf.pem")
    leaf.private_key_pem.write_to_path(directory / "leaf.key")
    tls, web = choose_port(), choose_port()
    sites = f"""
    sendfile on; tcp_nopush on;
    ssl_certificate {directory}/leaf.pem; ssl_certificate_key {directory}/leaf.key;
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    server {{
        listen {LOOPBACK}:{tls} ssl; listen {LOOPBACK}:{web}; root {directory}/www;
        keepalive_requests 1000000;
    }}
"""
    with running_nginx(directory, program, sites, tls) as pid:
        secure, plain = f"https://{NAME}:{tls}", f"http://{LOOPBACK}:{web}"
        urls = {
            "tls": f"{secure}/blob",
            "plain": f"{plain}/blob",
            "tls manifest": f"{secure}/manifest",
            "plain manifest": f"{plain}/manifest",
        }
        yield Server(pid, urls, directory / "ca.pem")


@contextlib.contextmanager
def running_nginx(directory: Path, program: str, sites: str, port: int) -> Iterator[int]:
    """Its process, once it listens on `port`: one worker, whose `http` block holds `sites`."""
    (directory / "nginx.conf").write_text(f"""
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 65536;
pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
    fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
{sites}}}
""")
    command = [program, "-c", str(directory / "nginx.conf"), "-p", str(directory)]
    with running(command) as process:
        wait_for_port(port, process)
        yield process.pid


@contextlib.contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    log: IO[str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A program until the end; what it prints can be read, where there is a `log` for its words."""
    with subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=None if log is None else subprocess.PIPE,
        stderr=log,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def allow_many_files() -> None:
    """Let this process and its children open as many as they may, as the service's unit does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, hard), hard))


def evict_pages(path: Path) -> None:
    """Have the kernel forget what it has of a file: the next reader waits for the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None, "it is a pipe"
    said, patience = [], threading.Timer(START_SECONDS_MAX, process.kill)
    patience.start()
    try:
        for line in process.stdout:
            if line == "ready\n":
                return
            said.append(line)
    finally:
        patience.cancel()
    raise SystemExit("the box did not start: " + "".join(said))


def wait_for_port(port: int, process: subprocess.Popen[str]) -> None:
    """Return once somebody listens there; ends the bench if `process` does."""
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port)):
            return
        time.sleep(0.05)
    raise SystemExit(f"{process.args!r} does not listen")
