"""What a worker and the box say to each other, as values ⇄ JSON objects. Pure.

Both ends are of one version and trust each other: an object that lacks something is a KeyError of
a programmer's, not an answer.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from appliance.cache.readers import Reader
from appliance.policy.delivery import Door
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.registry.requests import Request

type Words = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs to know, and all that it knows. `networks` empty: the local ones."""

    names: tuple[str, ...]
    origin_url: str
    origin_name: str
    origin_proxy: str | None
    trusted_roots: str
    pseudonym: str
    networks: tuple[str, ...]
    log_level: int
    connections_max: int


@dataclass(frozen=True, slots=True)
class BlobHead:
    """What comes before a blob's body: of the answer, and of the reader that stays in the box."""

    status: int
    fields: Mapping[str, str]
    span: Span
    size_bytes: int
    cache_status: CacheStatus
    is_streamable: bool


def format_request(request: Request) -> Words:
    """A request, all of it."""
    return {"ask": asdict(request) | {"door": request.door.value}}


def parse_request(words: Words) -> Request:
    """The request that was formatted."""
    asked = words["ask"]
    return Request(**asked | {"door": Door(asked["door"])})


def format_settings(settings: WorkerSettings) -> Words:
    """The settings, as the first words to a worker."""
    return {"settings": asdict(settings)}


def parse_settings(words: Words) -> WorkerSettings:
    """The settings that were formatted."""
    told = words["settings"]
    lists = {name: tuple(told[name]) for name in ("names", "networks")}
    return WorkerSettings(**told | lists)


def format_blob_head(status: int, fields: Mapping[str, str], reader: Reader) -> Words:
    """The head of an answer whose body `reader` has."""
    return {
        "blob": status,
        "fields": dict(fields),
        "span": [reader.span.start, reader.span.stop],
        "size": reader.size_bytes,
        "cache": reader.status.value,
        "streamable": reader.file_fd is None and reader.is_streamable(),
    }


def parse_blob_head(words: Words) -> BlobHead:
    """The head that was formatted."""
    return BlobHead(
        words["blob"],
        words["fields"],
        Span(*words["span"]),
        words["size"],
        CacheStatus(words["cache"]),
        words["streamable"],
    )
