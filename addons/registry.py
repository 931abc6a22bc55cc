"""Pulls to the registry, all else to the true origin."""

from mitmproxy import http

from addons.flows import read_request, write_answer
from addons.origin import OriginRoute
from appliance.policy.addresses import AddressRefusedError
from appliance.protocol.errors import BadGateway, Unavailable, Verdict
from appliance.registry.registry import Registry
from appliance.registry.requests import Answer, BlobAnswer, PassThrough
from appliance.upstream.resolver import NameUnresolvableError

PASSED = "passed"  # A flow's mark: its response is the origin's, streamed.


class RegistryAddon:
    """Answers what the registry answers and passes on what it passes through."""

    def __init__(self, registry: Registry, origin: OriginRoute) -> None:
        self._registry = registry
        self._origin = origin

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
            case BlobAnswer() as answer:
                answer.reader.close()
                raise AssertionError("bodies leave by redirect where TLS is spoken")

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        if flow.metadata.get(PASSED) and flow.response is not None:
            flow.response.stream = True

    async def _pass(self, flow: http.HTTPFlow) -> None:
        try:
            await self._origin.send(flow)
        except (AddressRefusedError, NameUnresolvableError) as error:
            _write_verdict(flow, BadGateway(f"{error}: {error.hint}"))
            return
        flow.metadata[PASSED] = True


def _write_verdict(flow: http.HTTPFlow, verdict: Verdict) -> None:
    write_answer(flow, Answer(verdict.status, verdict.fields(), verdict.body()))
