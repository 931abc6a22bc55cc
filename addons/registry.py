"""Pulls to the registry, all else to the true origin."""

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tls import TlsData

from addons.flows import read_request, write_answer
from addons.inline import Inline
from addons.origin import OriginRoute
from addons.passages import Passages
from appliance.policy.addresses import AddressRefusedError
from appliance.protocol.errors import BadGateway, Unavailable, Verdict
from appliance.registry.requests import (
    Answer,
    Answering,
    BlobAnswer,
    PassThrough,
    asks_for_part,
)
from appliance.upstream.resolver import NameUnresolvableError


class RegistryAddon:
    """Answers what the registry answers and passes on what it passes through."""

    def __init__(self, registry: Answering, origin: OriginRoute, inline: Inline) -> None:
        self._registry = registry
        self._origin = origin
        self.passages = Passages()
        self._inline = inline

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.error is not None:
            return  # mitmproxy itself has refused it already.
        try:
            await self._answer(flow)
        except BaseException:
            # Without an answer mitmproxy would dial; with this one its log says what happened.
            _write_verdict(flow, Unavailable("this box failed at this request: see its log"))
            raise

    async def _answer(self, flow: http.HTTPFlow) -> None:
        try:
            request = read_request(flow, self._origin.pseudonym)
        except Verdict as verdict:
            _write_verdict(flow, verdict)
            return
        match await self._registry.answer(request):
            case Answer() as answer:
                write_answer(flow, answer)
            case PassThrough():
                await self._pass(flow)
            case BlobAnswer(status, fields, reader):
                write_answer(flow, Answer(status, fields))
                if flow.response is None:
                    reader.close()  # The request was cut off.
                else:
                    self._inline.attach(flow, reader)

    def request(self, flow: http.HTTPFlow) -> None:
        self.passages.note_asked(flow)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        self.passages.note_answered(flow)
        self._origin.receive(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        self.passages.end(flow.client_conn)

    def error(self, flow: http.HTTPFlow) -> None:
        self.passages.end(flow.client_conn)

    def client_disconnected(self, client: Client) -> None:
        self.passages.end(client)

    def server_connect(self, data: ServerConnectionHookData) -> None:
        self.passages.note_dialling(data.client, data.server)

    def server_connected(self, data: ServerConnectionHookData) -> None:
        if not data.server.tls:
            self.passages.note_dialled(data.server)

    def tls_established_server(self, data: TlsData) -> None:
        self.passages.note_dialled(data.conn)

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        self.passages.note_dialled(data.server)

    def server_disconnected(self, data: ServerConnectionHookData) -> None:
        self.passages.note_dialled(data.server)

    async def _pass(self, flow: http.HTTPFlow) -> None:
        try:
            await self._origin.send(flow)
        except (AddressRefusedError, NameUnresolvableError) as error:
            _write_verdict(flow, BadGateway(f"{error}: {error.hint}"))
            return
        self.passages.begin(flow)


def _write_verdict(flow: http.HTTPFlow, verdict: Verdict) -> None:
    asked = flow.request
    if asks_for_part(asked.method, asked.path, asked.headers.get("Range")):
        write_answer(flow, Answer(verdict.status))
    else:
        write_answer(flow, Answer(verdict.status, verdict.fields(), verdict.body()))
