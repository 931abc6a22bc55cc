"""A machine's own words about itself: a tree of files as Linux has them, and this very machine."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.client.machine import (
    find_encrypting,
    find_ollama,
    find_trust,
    read_host_lines,
    read_naming,
)

PEM = "-----BEGIN CERTIFICATE-----\nMIIBox\nAbc=\n-----END CERTIFICATE-----\n"
OTHER = PEM.replace("MIIBox", "MIIOther")


def write(root: Path, path: str, content: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, "utf-8")
    return file


def test_servers_are_those_of_resolv_conf_and_those_behind_the_stub(tmp_path: Path) -> None:
    write(tmp_path, "etc/resolv.conf", "search a.lan b.lan\nnameserver 127.0.0.53\nnonsense\n")
    write(tmp_path, "run/systemd/resolve/resolv.conf", "nameserver 192.168.1.1\nnameserver ::9\n")
    naming = read_naming(tmp_path)
    assert naming.servers == ("127.0.0.53",)
    assert naming.behind_stub == ("192.168.1.1", "::9")
    assert naming.search == ("a.lan", "b.lan")


def test_of_a_machine_without_files_nothing_is_said(tmp_path: Path) -> None:
    assert read_naming(tmp_path).servers == ()
    assert read_host_lines(tmp_path, ("x",)) == {}
    assert list(find_ollama(tmp_path)) == []
    assert find_encrypting(tmp_path) == ()
    assert find_trust(tmp_path, {}, PEM) is None


def test_of_a_hosts_file_the_first_line_counts(tmp_path: Path) -> None:
    text = "# 10.0.0.1 registry\n10.0.0.2 a Registry # registry\n10.0.0.3 registry\n\n::1\n"
    write(tmp_path, "etc/hosts", text)
    assert read_host_lines(tmp_path, ("registry", "other")) == {"registry": "10.0.0.2"}


def test_programs_that_encrypt_dns_are_known_by_name(tmp_path: Path) -> None:
    for pid, name in ((7, "https_dns_proxy"), (8, "bash"), (9, "cloudflared")):
        write(tmp_path, f"proc/{pid}/comm", f"{name}\n")
    write(tmp_path, "proc/version", "no process")
    assert find_encrypting(tmp_path) == ("cloudflared", "https_dns_proxy")


@pytest.fixture
def ollama(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real process that is called so, and serves until its input ends."""
    program = tmp_path / "ollama"
    program.symlink_to(sys.executable)
    environ = {"HTTPS_PROXY": "http://192.168.1.5:3128", "OLLAMA_HOST": "0.0.0.0"}
    command = (program, "-c", "import sys; print('up', flush=True); sys.stdin.read()", "serve")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no Linux")
def test_a_running_server_is_found_with_its_environment_files_and_start(
    ollama: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    before = write(tmp_path, "before", "").stat().st_mtime
    (found,) = [each for each in find_ollama(Path("/")) if each.pid == ollama.pid]
    assert found.environ is not None
    assert found.environ["HTTPS_PROXY"] == "http://192.168.1.5:3128"
    assert (found.root / "proc").exists()
    assert found.started_at is not None
    assert abs(found.started_at - before) < 3600  # The same clock, and no other unit.


def test_one_that_is_somebody_else_s_has_no_environment(tmp_path: Path) -> None:
    write(tmp_path, "proc/9/comm", "ollama\n")
    write(tmp_path, "proc/9/cmdline", "/usr/bin/ollama\0serve\0")
    write(tmp_path, "proc/8/comm", "ollama\n")
    write(tmp_path, "proc/8/cmdline", "ollama\0run\0llama3.2\0")
    (tmp_path / "proc/9/environ").mkdir()
    (found,) = find_ollama(tmp_path)
    assert (found.pid, found.environ, found.started_at) == (9, None, None)


@pytest.mark.parametrize(
    ("path", "is_trusted"),
    [
        ("etc/ssl/certs/ca-certificates.crt", True),
        ("etc/pki/tls/certs/ca-bundle.crt", True),
        ("etc/ssl/certs/box.pem", True),
        ("usr/local/share/ca-certificates/box.crt", False),
    ],
)
def test_trusted_is_what_go_reads(tmp_path: Path, path: str, is_trusted: bool) -> None:
    file = write(tmp_path, path, OTHER + PEM.replace("\n", "\r\n"))
    assert find_trust(tmp_path, {}, PEM) == (file if is_trusted else None)
    assert find_trust(tmp_path, {}, PEM.replace("MII", "MIX")) is None


def test_of_the_bundles_the_first_alone_is_read(tmp_path: Path) -> None:
    write(tmp_path, "etc/ssl/certs/ca-certificates.crt", OTHER)
    write(tmp_path, "etc/ssl/cert.pem", PEM)
    assert find_trust(tmp_path, {}, PEM) is None


def test_its_variables_stand_in_place_of_the_system_s(tmp_path: Path) -> None:
    write(tmp_path, "etc/ssl/certs/ca-certificates.crt", PEM)
    named = write(tmp_path, "opt/mine.pem", OTHER)
    own_folder = {"SSL_CERT_DIR": "/opt/none:/opt/certs"}
    environ = {"SSL_CERT_FILE": "/opt/mine.pem", **own_folder}
    assert find_trust(tmp_path, environ, PEM) is None
    assert find_trust(tmp_path, environ, OTHER) == named
    inside = write(tmp_path, "opt/certs/box.pem", PEM)
    assert find_trust(tmp_path, environ, PEM) == inside


def test_absolute_links_of_a_container_end_inside_it(tmp_path: Path) -> None:
    kept = write(tmp_path, "etc/pki/extracted/bundle.pem", PEM)
    (tmp_path / "etc/ssl").mkdir()
    (tmp_path / "etc/ssl/cert.pem").symlink_to("/etc/pki/link/../extracted/bundle.pem")
    (tmp_path / "etc/pki/link").symlink_to("/etc/pki/extracted")
    assert find_trust(tmp_path, {}, PEM) == kept
    (tmp_path / "etc/ssl/cert.pem").unlink()
    (tmp_path / "etc/ssl/cert.pem").symlink_to("/etc/ssl/cert.pem")
    assert find_trust(tmp_path, {}, PEM) is None
