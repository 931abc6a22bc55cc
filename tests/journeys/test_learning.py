"""A client that refuses what its version is known to accept: one failed pull, then another way."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.habits import NEWEST, Habits
from appliance.demo.outside import CDN_NAME
from tests.journeys.conftest import Scene, open_scene
from tests.journeys.test_pulls import join

pytestmark = pytest.mark.journey

PUBLIC = "203.0.113.5"
REFUSER = replace(NEWEST, version="0.35.1", part_bytes_min=200_000, pace=20)


def client_of(home: Path, scene: Scene, habits: Habits) -> Client:
    """A client that reaches the origin's CDN at a public address, and trusts both CAs."""
    outside = scene.stage.outside
    outside.names.zone[CDN_NAME] = (PUBLIC,)
    routes = {PUBLIC: outside.cdn.address}
    surroundings = replace(scene.stage.box.surroundings, routes=routes, ca_file=join(home, scene))
    return Client(home / "client", surroundings, habits)


async def test_what_a_client_leaves_alone_is_not_given_to_it_again(home: Path) -> None:
    async with open_scene(home) as scene:
        await scene.pull("first")  # While the box, too, reaches the CDN.
        client = client_of(home, scene, REFUSER)
        with pytest.raises(PullError, match="redirect target not allowed"):
            await asyncio.to_thread(client.pull, "tiny:1b")
        await pull_again(client)
        (lesson,) = (await scene.ask("/api/info"))["learnt"]
        assert (lesson["version"], lesson["missed"]) == ("0.35.1", "redirect")
        stats = await scene.ask("/cache/stats")
        assert stats["deferred"] >= len(scene.model.blobs)
        assert stats["served_bytes"] == scene.model.blob_bytes
        await scene.pull("other")  # Of another version, and served as ever.
        await scene.stats_once_served(2 * scene.model.blob_bytes)


async def pull_again(client: Client) -> None:
    """As a person does, until it works: who is quicker than a second is told nothing new."""
    while True:
        try:
            pull = await asyncio.to_thread(client.pull, "tiny:1b")
        except PullError as error:
            assert "redirect target not allowed" in str(error)  # noqa: PT017  # Told above.
            continue
        assert pull.sha256_ok
        return
