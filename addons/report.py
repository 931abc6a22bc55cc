"""One line in the log for each request that came by TLS.

The target is cut at its query: queries carry grants and signatures.
"""

import logging

from mitmproxy import http

from appliance.upstream.builtin import BUILTIN, BuiltinSource

_log = logging.getLogger("https")
# The box's own pulls, some lines each minute otherwise.
_SELF_CHECK = (
    f"/v2/{BUILTIN.repository}/",
    *(f"/blobs/{digest}" for digest in BuiltinSource().digests),
)


class Report:
    """Writes access lines."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """What the box answers itself, which is decided by now, meets no later hook."""
        if flow.response is not None:
            self.response(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None, "the hook comes after a response"
        is_own = flow.request.path.startswith(_SELF_CHECK)
        _log.log(
            logging.DEBUG if is_own else logging.INFO,
            "%s %s %s %d %s",
            flow.client_conn.peername[0],
            flow.request.method,
            flow.request.path.partition("?")[0],
            flow.response.status_code,
            flow.response.headers.get("Cache-Status", "-"),
        )

    def error(self, flow: http.HTTPFlow) -> None:
        # A client that hangs up once it has read a head is how Ollama asks for a Location.
        _log.debug(
            "%s %s ended early: %s",
            flow.request.method,
            flow.request.path.partition("?")[0],
            flow.error.msg if flow.error else "-",
        )
