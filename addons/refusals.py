"""mitmproxy's own refusals in the registry's shape: JSON that clients show, not a page of HTML."""

from mitmproxy.connection import Connection
from mitmproxy.net.http.status_codes import RESPONSES
from mitmproxy.proxy.commands import Command, SendData
from mitmproxy.proxy.layers.http._events import ResponseProtocolError

from appliance.protocol.errors import BadGateway, RequestInvalid, Verdict

_REASON_LENGTH_MAX = 200  # mitmproxy's reasons may quote a whole head.
_ADVICE = " Disable the "  # ... option of mitmproxy's: none that anybody here could set.


class Refusal(SendData):
    """A verdict as the last response of a connection."""

    def __init__(self, client: Connection, verdict: Verdict, *, with_body: bool = True) -> None:
        body = verdict.body()
        fields = verdict.fields() | {"Content-Length": str(len(body)), "Connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"HTTP/1.1 {verdict.status} {RESPONSES[verdict.status]}\r\n{lines}\r\n"
        super().__init__(client, head.encode() + (body if with_body else b""))


def reword(command: Command, verdict: Verdict, *, with_body: bool = True) -> Command:
    """What mitmproxy does to refuse, with `verdict` where it sends a page."""
    if not isinstance(command, SendData) or isinstance(command, Refusal):
        return command
    return Refusal(command.connection, verdict, with_body=with_body)


def verdict_of(error: ResponseProtocolError) -> Verdict:
    """400 where the request is at fault, else 502."""
    reason = error.message.partition(_ADVICE)[0][:_REASON_LENGTH_MAX]
    is_request_s = error.code.http_status_code() == RequestInvalid.status
    return RequestInvalid(reason) if is_request_s else BadGateway(reason)
