"""The scripted CDN: blobs to whoever holds a presigned URL, and nothing else."""

from collections.abc import Mapping

from aiohttp import web

from appliance.demo.bodies import BlobSender
from appliance.demo.faults import Faults
from appliance.demo.models import DemoBlob
from appliance.demo.presign import Forbidden, Presigner
from appliance.demo.site import html_page
from appliance.protocol.digest import Digest

XML_TYPE = "application/xml"


class Cdn:
    """Checks the signature over the raw request target, then sends."""

    def __init__(
        self,
        blobs: Mapping[Digest, DemoBlob],
        presigner: Presigner,
        sender: BlobSender,
        faults: Faults,
    ) -> None:
        self._blobs = blobs
        self._presigner = presigner
        self._sender = sender
        self._faults = faults

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: 200, 206 or 416 with a valid URL, else 403; 405 for other methods."""
        if self._faults.is_portal:
            return html_page()
        if self._faults.cdn_status is not None:
            return self._failure(self._faults.cdn_status)
        if request.method not in ("GET", "HEAD"):
            return _refusal(405, b"<Error><Code>MethodNotAllowed</Code></Error>")
        try:
            digest = self._presigner.check(request.headers.get("Host", ""), request.raw_path)
        except Forbidden as forbidden:
            return _refusal(403, forbidden.document())
        blob = self._blobs.get(digest)
        if blob is None:
            return _refusal(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return await self._sender.send(request, blob)

    def _failure(self, status: int) -> web.Response:
        response = _refusal(status, b"<Error><Code>InternalError</Code></Error>")
        if self._faults.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(self._faults.retry_after_seconds)
        return response


def _refusal(status: int, document: bytes) -> web.Response:
    return web.Response(status=status, body=document, headers={"Content-Type": XML_TYPE})
