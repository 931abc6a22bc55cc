"""A client that says what it likes: requests by https through a box, body by body."""

import asyncio
import http.client
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.demo.box import BoxProcess
from appliance.demo.client import REGISTRY_NAME
from appliance.demo.credentials import ClientKey
from appliance.demo.tokens import parse_challenge, sign_token_request

PATIENCE_SECONDS = 30.0

type Body = bytes | Iterable[bytes] | None


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response."""

    status: int
    fields: http.client.HTTPMessage
    body: bytes


class _Connection(http.client.HTTPConnection):
    """To the box, under the registry's name."""

    def __init__(self, box: BoxProcess) -> None:
        super().__init__(REGISTRY_NAME, timeout=PATIENCE_SECONDS)
        self._port = box.tls_port
        self._trusted = ssl.create_default_context(cafile=str(box.ca_file))

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self._port), PATIENCE_SECONDS)
        self.sock = self._trusted.wrap_socket(plain, server_hostname=REGISTRY_NAME)


@dataclass
class Caller:
    """One machine behind `box`. With a `key` it gets itself a token when it is asked for one."""

    box: BoxProcess
    key: ClientKey | None = None
    token: str = ""

    async def ask(self, method: str, target: str, body: Body = None, **fields: str) -> Reply:
        """Send one request; `_` in a field's name stands for `-`."""
        return await asyncio.to_thread(self._ask, method, target, body, fields)

    @asynccontextmanager
    async def asking(self, method: str, target: str) -> AsyncIterator[http.client.HTTPResponse]:
        """A response whose body is read by whoever holds it, in a thread."""
        with ExitStack() as held:
            yield await asyncio.to_thread(
                held.enter_context, self._asking(method, target, None, {})
            )

    @contextmanager
    def _asking(
        self, method: str, target: str, body: Body, fields: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        named = {name.replace("_", "-"): text for name, text in fields.items()}
        if self.token:
            named["Authorization"] = f"Bearer {self.token}"
        connection = _Connection(self.box)
        try:
            connection.request(method, target, body, named)
            yield connection.getresponse()
        finally:
            connection.close()

    def _ask(self, method: str, target: str, body: Body, fields: dict[str, str]) -> Reply:
        reply = self._once(method, target, body, fields)
        if reply.status == 401 and self.key is not None and not self.token:
            self.token = self._fetch_token(reply.fields["WWW-Authenticate"])
            reply = self._once(method, target, body, fields)
        return reply

    def _once(self, method: str, target: str, body: Body, fields: dict[str, str]) -> Reply:
        with self._asking(method, target, body, fields) as response:
            return Reply(response.status, response.headers, response.read())

    def _fetch_token(self, challenge: str) -> str:
        assert self.key is not None, "who has none, asks for none"
        url = parse_challenge(challenge).url(1_700_000_000, "a+b/c=")
        assert url.startswith(f"https://{REGISTRY_NAME}/")
        target = url.removeprefix(f"https://{REGISTRY_NAME}")
        signed = {"Authorization": sign_token_request(self.key, url)}
        reply = self._once("GET", target, None, signed)
        return str(json.loads(reply.body)["token"]) if reply.status == 200 else ""


def memory_bytes(pid: int, *, name: str = "VmHWM") -> int:
    """What a process has in memory: at most so far (VmHWM) or now (VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(each for each in lines if each.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def forget_the_peak(pid: int) -> None:
    """Count a process's VmHWM from here on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
