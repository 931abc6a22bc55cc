"""Pulls in the clear: `/v2/` for `--insecure` and direct use, `/blobs/` for everybody's bodies."""

from aiohttp import web

from appliance.delivery.pump import Pumps
from appliance.policy.delivery import Door
from appliance.protocol.errors import Verdict
from appliance.protocol.heads import check_head
from appliance.registry.registry import Registry
from appliance.registry.requests import Answer, BlobAnswer, PassThrough, Request
from appliance.web.blobs import send_blob


class ClearDoor:
    """Translates between aiohttp and the registry."""

    def __init__(self, registry: Registry, pumps: Pumps) -> None:
        self._registry = registry
        self.pumps = pumps

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer anything under `/v2/` and `/blobs/`."""
        try:
            asked = read_request(request)
        except Verdict as verdict:
            return _respond(Answer(verdict.status, verdict.fields(), verdict.body()))
        match await self._registry.answer(asked):
            case BlobAnswer() as reply:
                return await send_blob(request, reply, self.pumps)
            case Answer() as reply:
                return _respond(reply)
            case PassThrough():
                raise AssertionError("nothing passes through in the clear")


def read_request(request: web.Request) -> Request:
    """The registry's view of an aiohttp request. Raises RequestInvalid, FieldsTooLarge."""
    host = check_head(request.raw_headers)
    transport = request.transport  # None: the client is gone, and any answer goes nowhere.
    dialled = (transport and transport.get_extra_info("sockname")) or ("",)
    return Request(
        door=Door.HTTP,
        method=request.method,
        target=request.raw_path,
        host=host.name,
        host_port=host.port,
        client_address=request.remote or "",
        dialled=dialled[0],
        user_agent=read_text(request, "User-Agent"),
        accept=read_text(request, "Accept"),
        range_field=read_text(request, "Range") or None,
        has_authorization="Authorization" in request.headers,
    )


def read_text(request: web.Request, name: str) -> str:
    """A field's values as text that can be written anywhere: no bytes that are no UTF-8."""
    joined = ", ".join(request.headers.getall(name, []))
    return joined.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _respond(answer: Answer) -> web.StreamResponse:
    fields = dict(answer.fields)
    if "Content-Length" in fields:  # A HEAD's: the length of a body that is not sent.
        return web.StreamResponse(status=answer.status, headers=fields)
    return web.Response(status=answer.status, headers=fields, body=answer.content)
