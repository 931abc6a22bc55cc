"""A registry request and its answer, as plain values: what doors translate to and from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from appliance.cache.readers import Reader
from appliance.policy.delivery import Door
from appliance.protocol.clients import Client, parse_client


@dataclass(frozen=True, slots=True)
class Request:
    """What of a request decides its answer.

    `host` and `host_port` are those of the Host field, the port None where it goes unsaid;
    `dialled` is the address of the box that the client connected to. `is_signed_by_habit`: its
    Authorization says nothing about whether the model is private.
    """

    door: Door
    method: str
    target: str
    host: str
    host_port: int | None
    client_address: str
    dialled: str
    user_agent: str = ""
    accept: str = ""
    range_field: str | None = None
    has_authorization: bool = False
    is_signed_by_habit: bool = False

    @property
    def client(self) -> Client:
        return parse_client(self.user_agent)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `content` is the body a GET gets; to a HEAD only its length is told."""

    status: int
    fields: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class BlobAnswer:
    """A head, and a reader for the body. The door sends the body and closes the reader."""

    status: int
    fields: Mapping[str, str]
    reader: Reader


@dataclass(frozen=True, slots=True)
class PassThrough:
    """Not ours to answer: the door takes it to the origin as it came."""


type Reply = Answer | BlobAnswer | PassThrough


def asks_for_part(method: str, target: str, range_field: str | None) -> bool:
    """Whether whoever asks may take any body that comes for bytes of a blob.

    Most releases of Ollama look at no part's status: where an error has as many bytes as the part
    still lacks (a template has a hundred), they become the blob's, and its pull fails by its
    digest. So an error in answer to this has no body.
    """
    return method == "GET" and range_field is not None and "/blobs/" in target


class Answering(Protocol):
    """Whoever answers for the intercepted names: the registry, or one that asks it."""

    async def answer(self, request: Request) -> Reply:
        """Answer, never raising a Verdict: those are answers too."""
        ...
