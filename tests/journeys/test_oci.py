"""Clients that are no Ollama: tag to digest by HEAD, then everything by digest, as OCI has it.

The requests are those of containerd and of oras; curl sends them, over https and in the clear.
"""

import json
from pathlib import Path

import pytest

from appliance.protocol.digest import digest_of, parse_digest
from appliance.protocol.manifest import MANIFEST_TYPE
from tests.journeys.conftest import Scene, open_scene, run
from tests.programs import program

pytestmark = pytest.mark.journey

NAME = "registry.ollama.ai"
OCI_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
CONTAINERD = ", ".join((MANIFEST_TYPE, *OCI_TYPES, "*/*"))
ORAS = ", ".join((MANIFEST_TYPE, *OCI_TYPES))


class Puller:
    """Pulls as such a client does, with curl for its hands."""

    def __init__(self, scene: Scene, agent: str, accept: str, *, is_clear: bool) -> None:
        self._box = scene.stage.box
        self._base = f"{'http' if is_clear else 'https'}://{NAME}/v2/{scene.model.repository}"
        self._agent = agent
        self._accept = accept

    async def ask(self, path: str, accept: str, *words: str) -> bytes:
        reply = await run(
            *(program("curl"), "-fsSL", "--noproxy", "*", "--cacert", self._box.ca_file),
            *("--connect-to", f"{NAME}:443:127.0.0.1:{self._box.tls_port}"),
            *("--connect-to", f"{NAME}:80:127.0.0.1:{self._box.web_port}"),
            *("-A", self._agent, "-H", f"Accept: {accept}", *words, f"{self._base}/{path}"),
        )
        assert reply.code == 0, reply.err
        return reply.out

    async def pull(self, tag: str) -> dict[str, bytes]:
        """Every blob of what the tag names, by digest."""
        head = await self.ask(f"manifests/{tag}", self._accept, "-I")
        fields = dict(
            line.lower().split(": ", 1) for line in head.decode().splitlines() if ": " in line
        )
        assert fields["content-type"] == MANIFEST_TYPE
        digest = parse_digest(fields["docker-content-digest"])
        manifest = await self.ask(f"manifests/{digest}", fields["content-type"])
        assert digest_of(manifest) == digest
        assert len(manifest) == int(fields["content-length"])
        document = json.loads(manifest)
        return {
            each["digest"]: await self._fetch(each)
            for each in (document["config"], *document["layers"])
        }

    async def _fetch(self, descriptor: dict[str, str]) -> bytes:
        accept = f"{descriptor['mediaType']}, */*"
        content = await self.ask(f"blobs/{descriptor['digest']}", accept)
        assert str(digest_of(content)) == descriptor["digest"]
        return content


@pytest.mark.parametrize("is_clear", [False, True], ids=["https", "clear"])
@pytest.mark.parametrize(
    ("agent", "accept"),
    [
        pytest.param("containerd/2.1.4+unknown", CONTAINERD, id="containerd"),
        pytest.param("oras/1.3.0+Homebrew", ORAS, id="oras"),
    ],
)
async def test_a_pull_by_digest_crosses_the_internet_once(
    home: Path, agent: str, accept: str, *, is_clear: bool
) -> None:
    async with open_scene(home) as scene:
        client = Puller(scene, agent, accept, is_clear=is_clear)
        for _ in range(2):
            found = await client.pull("1b")
            assert found == {str(each.digest): each.path.read_bytes() for each in scene.model.blobs}
            assert scene.upstream_bytes == scene.model.blob_bytes
