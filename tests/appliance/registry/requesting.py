"""Requests as the doors hand them on, and what is read out of the replies."""

import json
from dataclasses import replace
from urllib.parse import urlsplit

from appliance.policy.delivery import Door
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.registry.registry import Registry
from appliance.registry.requests import Answer, BlobAnswer, Reply, Request
from tests.appliance.cache.pulling import DIGEST, OLLAMA, read

OLLAMA_NEW = "ollama/0.36.0 (amd64 linux) Go/go1.26"
CURL = "curl/8.5.0"
BLOB_HOST = "ollama-blobs.home.arpa"
MANIFEST = "/v2/library/tiny/manifests/latest"
BLOB = f"/v2/library/tiny/blobs/{DIGEST}"

BY_HTTPS = Request(
    door=Door.HTTPS,
    method="GET",
    target=MANIFEST,
    host="registry.ollama.ai",
    host_port=None,
    client_address="192.168.1.20",
    dialled="192.168.1.5",
    user_agent=OLLAMA,
    accept=MANIFEST_TYPE,
)
BY_PROXY = replace(BY_HTTPS, door=Door.PROXY)
IN_THE_CLEAR = replace(BY_HTTPS, door=Door.HTTP)
BY_ADDRESS = replace(IN_THE_CLEAR, host="192.168.1.5", host_port=8080)


async def answered(registry: Registry, request: Request) -> Answer:
    """The whole answer that a request must get."""
    reply = await registry.answer(request)
    assert isinstance(reply, Answer), reply
    return reply


async def body_of(reply: Reply) -> bytes:
    """The bytes of a blob answer, whose head must be true to them."""
    assert isinstance(reply, BlobAnswer), reply
    content = await read(reply.reader)
    assert reply.fields["Content-Length"] == str(len(content))
    return content


def granted(location: str) -> Request:
    """The request that a client makes of a Location."""
    url = urlsplit(location)
    return replace(
        IN_THE_CLEAR,
        target=f"{url.path}?{url.query}",
        host=url.hostname or "",
        host_port=url.port,
        user_agent="Go-http-client/1.1",
        accept="",
    )


def message_of(answer: Answer) -> str:
    """The sentence of a verdict, which every one has, in JSON."""
    assert answer.fields["Content-Type"] == "application/json"
    ((error),) = json.loads(answer.content)["errors"]
    assert error["code"]
    return str(error["message"])
