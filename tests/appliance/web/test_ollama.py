"""Ollama's API on the web door, key for key as Ollama's docs/api.md has it."""

import json
from typing import Any

import pytest

from appliance.policy.roles import Role
from appliance.protocol.digest import digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.reference import parse_model_name
from appliance.web.details import CONFIG_TYPE
from tests.appliance.web.conftest import Door

CONFIG = json.dumps(
    {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "model_type": "3.2B",
        "file_type": "Q4_K_M",
    }
).encode()
LAYERS = {"model": b"weights" * 100, "template": b"{{ .Prompt }}", "params": b'{"stop": ["x"]}'}
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "3.2B",
    "quantization_level": "Q4_K_M",
}
RUNS = ("generate", "chat", "embed", "embeddings")
MAKES = ("create", "copy", "push")


def publish(door: Door, name: str) -> str:
    """A model as Ollama makes them; the digest of its manifest."""

    def describe(media_type: str, content: bytes) -> dict[str, Any]:
        door.shop.source.blobs[digest_of(content)] = content
        return {
            "mediaType": media_type,
            "digest": str(digest_of(content)),
            "size": len(content),
        }

    kind = "application/vnd.ollama.image."
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": describe(CONFIG_TYPE, CONFIG),
        "layers": [describe(kind + each, content) for each, content in LAYERS.items()],
    }
    manifest = json.dumps(document).encode()
    door.shop.source.manifests[parse_model_name(name)] = manifest
    return digest_of(manifest).encoded


async def warm(door: Door, name: str) -> str:
    """Have it held, whole."""
    digest = publish(door, name)
    body = json.dumps({"model": name, "stream": False}).encode()
    answer = await door.post("/api/pull", body)
    assert json.loads(answer.body) == {"status": "success"}
    return digest


def admin(door: Door) -> str:
    return f"Authorization: Bearer {door.desk.token(Role.ADMIN)}"


async def test_tags_list_what_is_held_whole(door: Door) -> None:
    assert await door.document("/api/tags") == {"models": []}
    digest = await warm(door, "someone/tiny:1b")
    size = len(CONFIG) + sum(map(len, LAYERS.values()))
    for _ in range(2):  # Also from what is remembered.
        assert await door.document("/api/tags") == {
            "models": [
                {
                    "name": "someone/tiny:1b",
                    "model": "someone/tiny:1b",
                    "modified_at": "2023-11-14T22:13:20Z",
                    "size": size,
                    "digest": digest,
                    "details": DETAILS,
                }
            ]
        }


async def test_a_model_of_which_something_is_missing_is_not_listed(door: Door) -> None:
    publish(door, "tiny")
    assert (await door.ask("/v2/library/tiny/manifests/latest")).status == 200
    assert await door.document("/api/tags") == {"models": []}


async def test_version_and_ps_say_what_is_so(door: Door) -> None:
    assert await door.document("/api/version") == {"version": "0.1.0"}
    assert await door.document("/api/ps") == {"models": []}


async def test_the_client_s_heartbeat_is_answered(door: Door) -> None:
    async with door.dial() as wire:
        answer = await wire.ask(b"HEAD / HTTP/1.1\r\nHost: box\r\n\r\n")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("key", ["model", "name"])
async def test_show_tells_what_a_model_is(door: Door, key: str) -> None:
    await warm(door, "tiny")
    body = json.dumps({key: "registry.ollama.ai/tiny", "verbose": True}).encode()
    answer = await door.post("/api/show", body)
    assert json.loads(answer.body) == {
        "modelfile": 'FROM tiny:latest\nTEMPLATE """{{ .Prompt }}"""\nPARAMETER stop "x"\n',
        "parameters": f'{"stop":<30} "x"',
        "template": "{{ .Prompt }}",
        "details": DETAILS,
        "modified_at": "2023-11-14T22:13:20Z",
    }


@pytest.mark.parametrize("target", ["/api/show", "/api/delete", "/api/pull"])
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", b'{"model": 7}', b'{"model": "a b"}', b"[" * 60_000]
)
async def test_what_names_no_model_is_refused(door: Door, target: str, body: bytes) -> None:
    method = "DELETE" if target == "/api/delete" else "POST"
    answer = await door.post(target, body, admin(door), method=method)
    assert (answer.status, json.loads(answer.body)) == (400, {"error": "invalid model name"})


async def test_what_is_not_held_is_not_found(door: Door) -> None:
    expected = (404, {"error": "model 'absent:latest' not found"})
    for target, method in (("/api/show", "POST"), ("/api/delete", "DELETE")):
        answer = await door.post(target, b'{"model": "absent"}', admin(door), method=method)
        assert (answer.status, json.loads(answer.body)) == expected


async def test_an_admin_lets_go_of_a_model_and_the_line_says_so(door: Door) -> None:
    await warm(door, "tiny")
    answer = await door.post("/api/delete", b'{"model": "tiny"}', admin(door), method="DELETE")
    assert (answer.status, answer.body) == (200, b"")
    assert await door.document("/api/models") == []
    assert door.desk.notes[-1] == ("somebody", "127.0.0.1", 'rm {"model": "tiny:latest"}', "done")


async def test_nobody_else_does(door: Door) -> None:
    await warm(door, "tiny")
    operator = f"Authorization: Bearer {door.desk.token(Role.OPERATOR)}"
    for line, status in ((operator, 403), ("Accept: */*", 403), ("Authorization: Bearer x", 401)):
        answer = await door.post("/api/delete", b'{"model": "tiny"}', line, method="DELETE")
        assert answer.status == status
        assert "error" in json.loads(answer.body)
    assert len(await door.document("/api/models")) == 1


async def test_a_pinned_model_stays_and_says_why(door: Door) -> None:
    await warm(door, "tiny")
    door.shop.store.pin(parse_model_name("tiny"))
    answer = await door.post("/api/delete", b'{"model": "tiny"}', admin(door), method="DELETE")
    assert answer.status == 409
    assert "unpin" in json.loads(answer.body)["error"]


@pytest.mark.parametrize("deed", [*RUNS, *MAKES])
async def test_what_a_cache_cannot_do_comes_with_what_to_do(door: Door, deed: str) -> None:
    answer = await door.post(f"/api/{deed}", b'{"model": "tiny", "prompt": "hi"}')
    assert answer.status == 400
    error = json.loads(answer.body)["error"]
    assert ("point OLLAMA_HOST at your own Ollama" in error) == (deed in RUNS)
