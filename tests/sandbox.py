"""Another machine's files on this one: a mount namespace in which what scripts write is a copy."""

import subprocess
from pathlib import Path

import pytest

from tests.programs import program

_CERTIFICATES = Path("/usr/share/ca-certificates")
_CERTIFICATES_COUNT = 3  # Each costs `openssl rehash` some time.

# In the sandbox's directory, and what each stands in for: all that install.sh may write.
_PLACES = {
    "hosts": "/etc/hosts",
    "certs": "/etc/ssl/certs",
    "anchors": "/usr/local/share/ca-certificates",
    "systemd": "/etc/systemd/system",
    "lib": "/var/lib",
}
# And what update-ca-certificates is told: few certificates, and no hooks of this machine's.
_PROPS = {"conf": "/etc/ca-certificates.conf", "hooks": "/etc/ca-certificates/update.d"}
_ENTER = """
unset SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE
root=$1
shift
PATH=$root/bin:$PATH
export PATH
{mounts}
exec "$@"
"""
_SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$(dirname "$0")/../systemctl.log"
"""


class Sandbox:
    """Below `root` lie the copies. Its systemctl only notes what it is asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("certs", "anchors", "systemd", "lib", "bin", "hooks"):
            (root / name).mkdir(parents=True)
        known = [str(path.relative_to(_CERTIFICATES)) for path in _CERTIFICATES.rglob("*.crt")]
        few = "\n".join(sorted(known)[:_CERTIFICATES_COUNT])
        (root / "conf").write_text(f"{few}\n", "utf-8")
        (root / "hosts").write_text("127.0.0.1\tlocalhost\n# no newline at the end", "utf-8")
        tool = root / "bin" / "systemctl"
        tool.write_text(_SYSTEMCTL, "utf-8")
        tool.chmod(0o755)
        settle = self.command("update-ca-certificates", "--fresh")
        subprocess.run(settle, check=True, capture_output=True, timeout=20)

    def command(self, *words: str | Path, network: bool = False) -> tuple[str | Path, ...]:
        """`words` inside, without a terminal; `network`: also with a network of its own."""
        mounts = " ".join(
            f'mount --bind "$root/{name}" {place};' for name, place in (_PLACES | _PROPS).items()
        )
        flags = ("--mount", "--net") if network else ("--mount",)
        enter = ("sh", "-c", _ENTER.format(mounts=mounts), "sh", self.root)
        return (program("unshare"), *flags, program("setsid"), "--wait", *enter, *words)

    def contents(self) -> dict[str, bytes | str]:
        """Every file in it by name: its bytes, or where it points."""
        return {
            str(path.relative_to(self.root)): (
                str(path.readlink()) if path.is_symlink() else path.read_bytes()
            )
            for place in _PLACES
            for path in [self.root / place, *(self.root / place).rglob("*")]
            if path.is_symlink() or path.is_file()
        }

    def asked_of_systemd(self) -> list[str]:
        log = self.root / "systemctl.log"
        return log.read_text("utf-8").splitlines() if log.exists() else []


def open_sandbox(root: Path) -> Sandbox:
    """A sandbox in `root`; skips where this user may make none, or the system is no Debian."""
    tried = subprocess.run(
        [program("unshare"), "--mount", "true"], check=False, capture_output=True, text=True
    )
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace can be made here: {tried.stderr.strip()}")
    program("update-ca-certificates")
    return Sandbox(root)
