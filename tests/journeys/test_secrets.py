"""What a box keeps to itself, after a first start under a umask that hides nothing."""

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.journeys.conftest import Scene, open_scene, run

pytestmark = pytest.mark.journey

UMASK = ("sh", "-c", 'umask 022; exec "$@"', "sh")
PATHS = ("/", "/health", "/api/info", "/api/models", "/cache/stats", "/ca.pem", "/v2/")


async def test_after_a_first_start_nobody_else_can_read_the_key_and_it_is_in_one_place(
    home: Path,
) -> None:
    async with open_scene(home, launcher=UMASK, environment={"HOME": str(home)}) as scene:
        await scene.pull("somebody")
        url = scene.stage.box.web_url
        shown = [(await run("curl", "-fsS", f"{url}{path}")).out for path in PATHS]
        await ask_wrongly(scene)
    state = scene.stage.box.state_directory
    assert modes(state, "ca/ca.key", "secret") == {0o600}
    assert modes(state, ".", "ca") == {0o700}
    files = files_below(home)
    assert not any("mitmproxy" in each.name for each in files)
    places = [each for each in files if any(key in files[each] for key in spellings(state))]
    assert places == [state / "ca" / "ca.key"]
    assert scene.stage.box.log_file in files
    assert not any(key in page for page in shown for key in spellings(state))


async def ask_wrongly(scene: Scene) -> None:
    """So that the log has something to tell of."""
    await run("curl", "-sS", "-k", f"https://127.0.0.1:{scene.stage.box.tls_port}/v2/")
    await run("curl", "-sS", f"{scene.stage.box.web_url}/ca.key")


def modes(state: Path, *names: str) -> set[int]:
    return {stat.S_IMODE((state / name).stat().st_mode) for name in names}


def files_below(directory: Path) -> dict[Path, bytes]:
    return {each: each.read_bytes() for each in directory.rglob("*") if each.is_file()}


def spellings(state: Path) -> list[bytes]:
    """The key as it may stand somewhere: in PEM, in bytes, in hexadecimal, in base64."""
    pem = (state / "ca" / "ca.key").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, EllipticCurvePrivateKey)
    scalar = key.private_numbers().private_value.to_bytes(32)
    return [*pem.splitlines()[1:-1], scalar, scalar.hex().encode(), base64.b64encode(scalar)]
