"""Two real doors on loopback that serve the built-in model; the rest is for tests to break."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from appliance.certs import Authority
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.self_pull import SelfPull
from appliance.upstream.builtin import BUILTIN, BuiltinSource

NAME = "registry.ollama.ai"
BLOB_HOST = "ollama-blobs.home.arpa"
HIT, COLLAPSED = "ollama-appliance; hit", "ollama-appliance; fwd=uri-miss; collapsed"
LOOPBACK = "127.0.0.1"


class TinyBox:
    """Two real doors on loopback that serve the built-in model; the rest is for tests to break."""

    def __init__(self, authority: Authority) -> None:
        own = BuiltinSource()
        self.manifest = own.manifest
        self.blobs = {f"sha256:{each.encoded}": own._blobs[each] for each in own.digests}
        self.statuses: list[str] = []
        self.manifest_status, self.part_status = 200, 206
        self.location = "http://{host}:{port}/blobs/{digest}?grant=yes"
        self.answers: list[tuple[str, ...] | OSError] = [(LOOPBACK,)]
        self.manifests_served = 0
        self.sealed: bytes | None = None  # What leaves over TLS; None for the bytes as they are.
        self.sealed_status = 206
        self.blob_host = BLOB_HOST
        self.web_runner = self._runner(web.get("/blobs/{digest}", self._part))
        self.tls_runner = self._runner(
            web.get(f"/v2/{BUILTIN.repository}/manifests/latest", self._manifest),
            web.get(f"/v2/{BUILTIN.repository}/blobs/{{digest}}", self._blob),
            web.get("/blobs/{digest}", self._sealed),
        )
        self.tls_port = self.web_port = 0
        self._authority = authority

    async def start(self, directory: Path) -> None:
        pem = directory / "leaf.pem"
        pem.write_bytes(self._authority.issue((NAME, BLOB_HOST), now=datetime.now(UTC)).pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.web_port = await self._listen(self.web_runner, None)
        self.tls_port = await self._listen(self.tls_runner, context)

    async def stop(self) -> None:
        await self.tls_runner.cleanup()
        await self.web_runner.cleanup()

    def self_pull(self, ca_pem: str | None = None) -> SelfPull:
        return SelfPull(
            reference=BUILTIN,
            name=NAME,
            tls_port=self.tls_port,
            ca_pem=ca_pem or self._authority.certificate_pem.decode(),
            ask=self._ask,
            own=lambda: {LOOPBACK},
            address=LOOPBACK,
            user_agent="self-check",
            blob_host=self.blob_host,
        )

    async def _ask(self) -> tuple[str, ...]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def _manifest(self, _: web.Request) -> web.Response:
        self.manifests_served += 1
        return web.Response(
            status=self.manifest_status, body=self.manifest, content_type=MANIFEST_TYPE
        )

    async def _blob(self, request: web.Request) -> web.Response:
        location = self.location.format(
            host=LOOPBACK, port=self.web_port, digest=request.match_info["digest"]
        )
        return web.Response(status=307, headers={"Location": location})

    async def _part(self, request: web.Request) -> web.Response:
        content = self.blobs[request.match_info["digest"]][request.http_range]
        status = self.statuses.pop(0) if self.statuses else HIT
        headers = {"Cache-Status": status, "Location": "/elsewhere"}
        return web.Response(status=self.part_status, body=content, headers=headers)

    async def _sealed(self, request: web.Request) -> web.Response:
        assert request.host == f"{BLOB_HOST}:{self.tls_port}"
        assert request.query_string == "grant=yes"
        content = self.blobs[request.match_info["digest"]][request.http_range]
        content = content if self.sealed is None else self.sealed
        return web.Response(status=self.sealed_status, body=content)

    def _runner(self, *routes: web.RouteDef) -> web.AppRunner:
        app = web.Application()
        app.add_routes(routes)
        return web.AppRunner(app, access_log=None)

    async def _listen(self, runner: web.AppRunner, context: ssl.SSLContext | None) -> int:
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0, ssl_context=context).start()
        port: int = runner.addresses[0][1]
        return port
