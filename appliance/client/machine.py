"""What a Linux machine says of itself: its DNS servers, its Ollama servers, and whom they trust."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.policy.addresses import parse_system_servers

# Where systemd-resolved tells the servers that it asks itself.
_BEHIND_STUB = "run/systemd/resolve/resolv.conf"
# Go's crypto/x509 on Linux: the first of these files that is there, and all of the directories.
ROOT_FILES = (
    *("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt"),
    *("etc/ssl/ca-bundle.pem", "etc/pki/tls/cacert.pem"),
    *("etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "etc/ssl/cert.pem"),
)
ROOT_FOLDERS = ("etc/ssl/certs", "etc/pki/tls/certs")
ROOT_FILE_SIZE_BYTES_MAX = 4 * 1024 * 1024  # Ten times any system's bundle.
# Programs that answer DNS on a machine and ask on by https or TLS, past the network's own DNS.
ENCRYPTING = frozenset(
    (
        *("cloudflared", "dnscrypt-proxy", "dnsproxy", "https_dns_proxy", "nextdns", "stubby"),
        "warp-svc",
    )
)
LINKS_MAX = 40  # As Linux has it: more of them are a circle.
_COMM_LENGTH_MAX = 15  # What Linux keeps of a program's name.


@dataclass(frozen=True, slots=True)
class Naming:
    """Whom this machine asks for names: resolv.conf's servers, and those behind the local stub."""

    servers: tuple[str, ...]
    behind_stub: tuple[str, ...]
    search: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OllamaServer:
    """A running `ollama serve`; `environ` is None where it is not ours to read."""

    pid: int
    environ: Mapping[str, str] | None
    root: Path
    started_at: float | None


def read_naming(root: Path) -> Naming:
    """Read resolv.conf; of what is not there, nothing."""
    text = _read(root / "etc/resolv.conf")
    behind = parse_system_servers(_read(root / _BEHIND_STUB))
    search = [
        word
        for line in text.splitlines()
        if line.split()[:1] in (["search"], ["domain"])
        for word in line.split()[1:]
    ]
    servers = tuple(host for host, _ in parse_system_servers(text))
    return Naming(servers, tuple(host for host, _ in behind), tuple(search))


def read_host_lines(root: Path, names: tuple[str, ...]) -> dict[str, str]:
    """What the hosts file says of `names`; the first line counts."""
    found: dict[str, str] = {}
    for line in _read(root / "etc/hosts").splitlines():
        address, *named = line.partition("#")[0].split() or [""]
        for each in named:
            if each.lower() in names:
                found.setdefault(each.lower(), address)
    return found


def find_ollama(root: Path) -> Iterator[OllamaServer]:
    """Every `ollama serve` that runs, the one of a container too where its host is asked."""
    for folder in _processes(root):
        words = _read(folder / "cmdline").split("\0")
        if _read(folder / "comm").strip() == "ollama" and "serve" in words:
            yield OllamaServer(
                int(folder.name),
                _read_environ(folder / "environ"),
                folder / "root",
                _read_start(root, folder),
            )


def find_encrypting(root: Path) -> tuple[str, ...]:
    """The programs known to take DNS past the network that run here, by name."""
    known = {each[:_COMM_LENGTH_MAX]: each for each in ENCRYPTING}
    running = {_read(folder / "comm").strip() for folder in _processes(root)}
    return tuple(sorted(known[each] for each in running & known.keys()))


def find_trust(root: Path, environ: Mapping[str, str], ca_pem: str) -> Path | None:
    """The file by which a Go program below `root` trusts this CA; None where it does not.

    SSL_CERT_FILE and SSL_CERT_DIR stand in place of the system's, as Go has it.
    """
    body = _body(ca_pem)
    for path in _root_files(root, environ):
        if body in "".join(_read(path).split()):
            return path
    return None


def _root_files(root: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    named = environ.get("SSL_CERT_FILE")
    files = [_find_within(root, each) for each in ([named] if named else ROOT_FILES)]
    yield from [each for each in files if each.is_file()][:1]
    named = environ.get("SSL_CERT_DIR")
    for each in named.split(":") if named else ROOT_FOLDERS:
        folder = _find_within(root, each)
        try:
            names = sorted(each.name for each in folder.iterdir())
        except OSError:
            continue
        entries = (_find_within(root, str((folder / name).relative_to(root))) for name in names)
        yield from (entry for entry in entries if entry.is_file())


def _find_within(root: Path, path: str) -> Path:
    """What `path` is to a program whose root this is: its absolute links end there, too."""
    place, left, links = root, [*reversed(Path(path).parts)], 0
    while left:
        word = left.pop()
        if word == "/":
            place = root
        elif word == "..":
            place = place if place == root else place.parent
        elif (place / word).is_symlink() and links < LINKS_MAX:
            links += 1
            left += reversed((place / word).readlink().parts)
        else:
            place /= word
    return place


def _body(pem: str) -> str:
    """The certificate without what may differ between two spellings of it."""
    inner = pem.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0]
    assert inner.strip(), "it is a certificate"
    return "".join(inner.split())


def _processes(root: Path) -> Iterator[Path]:
    try:
        entries = sorted((root / "proc").iterdir())
    except OSError:
        return
    yield from (each for each in entries if each.name.isdecimal())


def _read_environ(path: Path) -> Mapping[str, str] | None:
    try:
        content = path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    pairs = (each.partition("=") for each in content.split("\0") if "=" in each)
    return {name: value for name, _, value in pairs}


def _read_start(root: Path, folder: Path) -> float | None:
    """When it began, in seconds since the epoch; proc(5), /proc/pid/stat, field 22."""
    after_name = _read(folder / "stat").rpartition(")")[2].split()
    booted = [line.split()[1] for line in _read(root / "proc/stat").splitlines() if "btime" in line]
    if len(after_name) < 20 or not booted:
        return None
    return int(booted[0]) + int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def _read(path: Path) -> str:
    """Some text, or "" where it is not there, not ours to read, or no file."""
    try:
        with path.open("rb") as file:
            return file.read(ROOT_FILE_SIZE_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""
