"""What goes into a support bundle, each part as text without secrets.

Two nets catch secrets. What looks like one is taken out of every line, as it is of the log: what
signs a URL, bearer tokens and other JSON Web Tokens, passwords in URLs. And what this very box
keeps secret is read and looked for, so that it is caught however it came there.
"""

import base64
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from appliance.certs import AUTHORITY_FOLDER, KEY_FILE, read_authority
from appliance.cli.check import describe_config
from appliance.cli.journal import read_audit, read_journal
from appliance.cli.stats import read_stats
from appliance.config import Config
from appliance.control import call_box
from appliance.interfaces import read_gateways, read_interfaces
from appliance.logs import REDACTED, redact

EXHIBIT_SIZE_MAX = 4 * 1024 * 1024  # Characters; of a longer one the end is kept.
LOG_LINES = 5000
SECRET_LENGTH_MIN = 6  # A shorter password would blank out half of every text; it is refused.

_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_SYSTEM_FILES = ("/etc/os-release", "/etc/resolv.conf", "/proc/meminfo", "/proc/loadavg")

type Gather = Callable[[], str]


def list_exhibits(config: Config) -> Iterator[tuple[str, Gather]]:
    """Each part by its file's name, and how it is had."""
    state_dir = config.state_dir
    yield "versions.txt", lambda: "\n".join(_tell_versions())
    yield "settings.json", lambda: _as_json(describe_config(config))
    yield "status.json", lambda: _as_json(call_box(state_dir, "status"))
    yield "stats.json", lambda: _as_json(read_stats(state_dir))
    yield "models.json", lambda: _as_json(call_box(state_dir, "models"))
    yield "learnt.json", lambda: _as_json(call_box(state_dir, "learnt"))
    yield "ca.txt", lambda: "\n".join(_tell_authority(state_dir / AUTHORITY_FOLDER))
    yield "state.txt", lambda: "\n".join(_tell_state(state_dir))
    yield "network.txt", lambda: "\n".join(_tell_network())
    yield "system.txt", lambda: "\n".join(_tell_system())
    yield "log.txt", lambda: "\n".join(read_journal(LOG_LINES))
    yield "audit.jsonl", lambda: "\n".join(read_audit(state_dir, LOG_LINES))


def gather(exhibits: Iterable[tuple[str, Gather]], secrets: Iterable[str]) -> dict[str, str]:
    """Every part without secrets; of one that cannot be had, why not."""
    known = tuple(secrets)
    found = {}
    for name, make in exhibits:
        try:
            text = make()
        except Exception as fault:  # noqa: BLE001  # What is broken is what the others are for.
            text = f"could not be had: {type(fault).__name__}: {fault}"
        found[name] = clean(text, known)[-EXHIBIT_SIZE_MAX:] + "\n"
    return found


def clean(text: str, secrets: Iterable[str]) -> str:
    """The text without what looks like a secret, and without those that are known."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return "\n".join(_JWT.sub(REDACTED, redact(line)) for line in text.splitlines())


def read_secrets(config: Config) -> tuple[str, ...]:
    """What this box keeps to itself, in every spelling that might stand in a text; longest first.

    What cannot be read cannot have been put anywhere by us, and is left.
    """
    found: set[str] = set()
    with suppress(OSError):
        found |= set(_spell((config.state_dir / "secret").read_bytes()))
    with suppress(OSError):
        pem = (config.state_dir / AUTHORITY_FOLDER / KEY_FILE).read_text("ascii", "replace")
        found |= {line for line in pem.splitlines() if not line.startswith("-----")}
    if config.web.admin_password_file is not None:
        with suppress(OSError, UnicodeDecodeError):
            found |= set(config.web.admin_password_file.read_text("utf-8").splitlines()[:1])
    return tuple(
        sorted((each for each in found if len(each) >= SECRET_LENGTH_MIN), key=len, reverse=True)
    )


def _spell(secret: bytes) -> Iterator[str]:
    yield secret.hex()
    for encoded in (base64.b64encode(secret), base64.urlsafe_b64encode(secret)):
        yield encoded.decode().rstrip("=")


def _as_json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def _tell_versions() -> Iterator[str]:
    yield f"{platform.platform()}, Python {sys.version}"
    installed = {each.name.lower(): each.version for each in metadata.distributions()}
    yield from (f"{name}=={installed[name]}" for name in sorted(installed))


def _tell_authority(directory: Path) -> Iterator[str]:
    authority = read_authority(directory)
    yield f"fingerprint SHA256:{authority.fingerprint}"
    yield f"for {', '.join(authority.names)}, until {authority.not_after.isoformat()}"


def _tell_state(state_dir: Path) -> Iterator[str]:
    """What lies there, by kind, with owners and modes; never what is inside."""
    yield f"{state_dir.absolute()}, as user {os.getuid()}"
    for path in sorted(state_dir.iterdir()):
        status = path.lstat()
        files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
        size_bytes = sum(each.lstat().st_size for each in files)
        yield (
            f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {path.name}: "
            f"{len(files)} files, {size_bytes} bytes"
        )
    system = os.statvfs(state_dir)
    free_bytes, total_bytes = system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize
    yield f"{free_bytes} of {total_bytes} bytes are free there"


def _tell_network() -> Iterator[str]:
    for each in read_interfaces():
        yield f"{each.name}: {' '.join(map(str, each.addresses))}"
    for interface, router in read_gateways().items():
        yield f"default route by {router} on {interface}"


def _tell_system() -> Iterator[str]:
    yield f"at {datetime.now(UTC).isoformat()}"
    for file in _SYSTEM_FILES:
        with suppress(OSError):
            yield f"--- {file}"
            yield Path(file).read_text("utf-8", "replace").rstrip()
