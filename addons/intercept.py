"""Which connections are opened, and as whom.

Only TLS for an intercepted name is, and inside a CONNECT only for the name that it said: a hello
for any other, or for none, meets a TLS context without a certificate, so the handshake fails and
nothing is dialled. Bytes that are no hello close the connection. mitmproxy's own TLS addon is kept
for one thing, verifying the origin; all that would make or use a certificate authority of its own
is silenced here.
"""

import asyncio
from collections.abc import Callable

from mitmproxy import http
from mitmproxy.addons import tlsconfig
from mitmproxy.connection import Client
from mitmproxy.proxy.layer import NextLayer
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.tls import TlsData
from OpenSSL import SSL
from OpenSSL.SSL import _NoOverlappingProtocols

from addons.doors import read_connected
from addons.guard import BoundedHttpLayer, BoundedTLSLayer, find_streams
from addons.inline import LendableConnection
from appliance.certs import Leaf
from appliance.protocol.heads import HEAD_SECONDS_MAX

_TLS_HANDSHAKE = b"\x16\x03"  # A handshake record of any version (RFC 8446 §5.1).
_HTTP1 = b"http/1.1"
# AES-128 first: the bytes are public, and it costs a third less than AES-256.
_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_OLD_CIPHERS = (  # Of TLS 1.2, for our elliptic key.
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
)
# OpenSSL's SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets and does not name: with it, each
# call seals one record.
_PARTIAL_WRITE = 1


class Intercept(tlsconfig.TlsConfig):
    """Opens TLS for our names. `leaf` gives the certificate of the moment: it is renewed."""

    # The name by which mitmproxy looks for whoever chooses layers; nobody else does here.
    name = "nextlayer"

    def __init__(
        self,
        names: frozenset[str],
        leaf: Callable[[], Leaf],
        is_allowed: Callable[[str], bool],
    ) -> None:
        self._names = names
        self._leaf = leaf
        self._is_allowed = is_allowed
        self._context: tuple[Leaf, SSL.Context] | None = None
        self._refusing = SSL.Context(SSL.TLS_SERVER_METHOD)  # It has no certificate.
        self._deadlines: dict[str, asyncio.TimerHandle] = {}

    def configure(self, updated: set[str]) -> None:
        """Make no certificate store: that writes an unconstrained CA to disk."""

    def running(self) -> None:
        """Look for no certificate store either."""

    def request(self, flow: http.HTTPFlow) -> None:
        """Serve no revocation list of a CA that is not there."""

    def client_connected(self, client: Client) -> None:
        client.error = "outside the networks of access.allow"  # So it stays if the next line fails.
        if not self._is_allowed(client.peername[0]):
            return
        client.error = None
        loop = asyncio.get_running_loop()
        self._deadlines[client.id] = loop.call_later(HEAD_SECONDS_MAX, self._abort, client)

    def client_disconnected(self, client: Client) -> None:
        self._disarm(client)

    def tls_established_client(self, data: TlsData) -> None:
        self._disarm(data.context.client)

    def next_layer(self, nextlayer: NextLayer) -> None:
        begun = nextlayer.data_client()
        if nextlayer.layer is not None or not begun:
            return
        if not _TLS_HANDSHAKE.startswith(begun[:2]):
            self._abort(nextlayer.context.client)
        elif len(begun) >= len(_TLS_HANDSHAKE):
            # The server's address is a placeholder until a request passes through.
            nextlayer.context.server.tls = True
            nextlayer.layer = BoundedTLSLayer(nextlayer.context)
            nextlayer.layer.child_layer = BoundedHttpLayer(nextlayer.context, HTTPMode.transparent)

    def tls_start_client(self, tls_start: TlsData) -> None:
        client = tls_start.context.client
        sni = (client.sni or "").lower()
        # Never without a connection, even if a leaf cannot be had: mitmproxy would leak the socket.
        tls_start.ssl_conn = _accept(self._refusing)
        if sni in self._names and read_connected(client) in (None, sni):
            tls_start.ssl_conn = _accept(self._open())

    def _open(self) -> SSL.Context:
        leaf = self._leaf()
        if self._context is None or self._context[0] is not leaf:
            self._context = (leaf, _make_context(leaf))
        return self._context[1]

    def _disarm(self, client: Client) -> None:
        deadline = self._deadlines.pop(client.id, None)
        if deadline is not None:
            deadline.cancel()

    def _abort(self, client: Client) -> None:
        streams = find_streams(client)
        if streams is not None:
            streams.writer.transport.abort()


def _accept(context: SSL.Context) -> SSL.Connection:
    connection = LendableConnection(context)
    connection.set_accept_state()
    return connection


def _make_context(leaf: Leaf) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_tls13_ciphersuites(_CIPHERS)
    context.set_cipher_list(_OLD_CIPHERS)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.clear_mode(_PARTIAL_WRITE)
    context.use_certificate(leaf.certificate)
    context.use_privatekey(leaf.private_key)
    context.set_session_id(b"ollama-appliance")
    context.set_alpn_select_callback(_select_protocol)
    return context


def _select_protocol(_: SSL.Connection, offered: list[bytes]) -> bytes | _NoOverlappingProtocols:
    """HTTP/1.1 or nothing: mitmproxy's HTTP/2 has no back-pressure towards clients."""
    return _HTTP1 if _HTTP1 in offered else SSL.NO_OVERLAPPING_PROTOCOLS
