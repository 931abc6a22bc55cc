"""mitmproxy's flows to our values and back: the one file that knows both."""

import re

from mitmproxy import http

from addons.doors import read_door
from appliance.protocol.clients import is_signed_by_habit
from appliance.protocol.errors import LoopDetected, Misdirected, RequestInvalid
from appliance.protocol.fields import is_via
from appliance.protocol.heads import check_head
from appliance.registry.requests import Answer, Request

_METHOD = re.compile(r"[A-Za-z-]{1,32}")  # Every registered one; control characters are none.
_VERSIONS = ("HTTP/1.0", "HTTP/1.1")


def read_request(flow: http.HTTPFlow, pseudonym: str) -> Request:
    """The registry's view of an intercepted request.

    Raises:
        RequestInvalid, FieldsTooLarge: its head can be read in two ways, or is too large.
        Misdirected: it is not for the name that TLS was opened for.
        LoopDetected: this box itself sent it.
    """
    head = flow.request
    host = check_head(head.headers.fields)
    if not _METHOD.fullmatch(head.method) or head.http_version not in _VERSIONS:
        raise RequestInvalid("this door takes methods of letters, and HTTP/1.0 and 1.1")
    if head.data.authority or not head.path.startswith("/"):
        raise RequestInvalid("this door takes requests in origin-form only")
    if host.name != (flow.client_conn.sni or "").lower():
        raise Misdirected("the Host field is not the name that TLS was opened for")
    if any(is_via(field, pseudonym) for field in head.headers.get_all("Via")):
        raise LoopDetected("the origin's name leads back to this box: set dns.upstream")
    return Request(
        door=read_door(flow.client_conn),
        method=head.method,
        target=head.path,
        host=host.name,
        host_port=host.port,
        client_address=flow.client_conn.peername[0],
        dialled=flow.client_conn.sockname[0],
        user_agent=_read(head, "User-Agent"),
        accept=_read(head, "Accept"),
        range_field=_read(head, "Range") or None,
        has_authorization="Authorization" in head.headers,
        is_signed_by_habit=is_signed_by_habit(_read(head, "Authorization")),
    )


def _read(head: http.Request, name: str) -> str:
    """A field's values as text that can be written anywhere: no bytes that are no UTF-8."""
    joined = ", ".join(head.headers.get_all(name))
    return joined.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def has_body(flow: http.HTTPFlow) -> bool:
    """Whether a body follows the head of the request."""
    headers = flow.request.headers
    return "Transfer-Encoding" in headers or headers.get("Content-Length", "0").strip("0") != ""


def write_answer(flow: http.HTTPFlow, answer: Answer) -> None:
    """Make `answer` the flow's response. A request with a body is cut off instead of read."""
    if has_body(flow):
        flow.kill()
        return
    is_head = flow.request.method == "HEAD"
    fields = dict(answer.fields)
    length = fields.pop("Content-Length", str(len(answer.content)))
    flow.response = http.Response.make(answer.status, b"" if is_head else answer.content, fields)
    flow.response.headers["Content-Length"] = length  # After make, which writes the body's own.
