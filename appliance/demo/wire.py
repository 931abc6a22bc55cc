"""HTTP/1.1 as the emulated client speaks it: names, addresses, TLS, one request, its answer.

Everything blocks and belongs to the thread that calls. Request targets go out byte for byte.
Messages of failures are those of Go's net/http, because they are what users see.
"""

import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from functools import cached_property
from ipaddress import ip_address

from appliance.demo.habits import Surroundings, is_public
from appliance.demo.names import NameServerError, NameUnknownError, resolve
from appliance.demo.urls import DEFAULT_PORTS, Url, WireError

REDIRECTS_MAX = 10  # Go's own limit.
DIAL_SECONDS = 30.0
HANDSHAKE_SECONDS = 10.0
USER_AGENT = "Go-http-client/1.1"
PROXY_HEAD_BYTES_MAX = 64 * 1024  # More is no answer to CONNECT.
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ?([^\r\n]*)\r\n")
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})  # X509_V_ERR_*: self-signed, no issuer.
_HOST_MISMATCH = 62
_EXPIRED = frozenset({9, 10})


class StalledError(WireError):
    """Nothing came for as long as the client waits."""


class UnexpectedEofError(WireError):
    """The body ended before its announced length."""

    def __init__(self) -> None:
        super().__init__("unexpected EOF")


class Connection:
    """One connection to one server; requests go through it one after another."""

    def __init__(
        self, connection: socket.socket, authority: str, *, is_proxy: bool = False
    ) -> None:
        """`is_proxy`: the other end is a proxy that is told whole URLs."""
        self.socket = connection
        self.authority = authority
        self._is_proxy = is_proxy
        self._http = http.client.HTTPConnection("unused.invalid")
        self._http.sock = connection

    @property
    def is_reusable(self) -> bool:
        """False once the server said that it closes."""
        return self._http.sock is not None

    def ask(self, method: str, url: Url, fields: Mapping[str, str]) -> http.client.HTTPResponse:
        """Send a request and return the answer's head; its body is still to be read.

        Raises:
            StalledError: the socket's timeout passed.
            WireError: the connection broke, or the answer is not HTTP.
        """
        try:
            target = str(url) if self._is_proxy else url.target
            self._http.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in ({"Host": url.authority} | dict(fields)).items():
                self._http.putheader(name, value)
            self._http.endheaders()
            return self._http.getresponse()
        except TimeoutError as error:
            raise StalledError("timeout awaiting response headers") from error
        except http.client.RemoteDisconnected as error:
            raise WireError("EOF") from error
        except http.client.HTTPException as error:
            raise WireError(f"malformed HTTP response: {error}") from error
        except OSError as error:
            raise WireError(f"read: {_reason(error)}") from error


def receive_into(response: http.client.HTTPResponse, view: memoryview) -> int:
    """Read what has come of the body into `view`; 0 at its end.

    Raises:
        StalledError: the socket's timeout passed.
        UnexpectedEofError: the connection ended inside the body.
        WireError: it broke.
    """
    try:
        if response.chunked or response.length is None:
            piece = response.read1(len(view))
            view[: len(piece)] = piece
            return len(piece)
        return _receive_counted(response, view)
    except TimeoutError as error:
        raise StalledError("part stalled") from error
    except http.client.HTTPException as error:
        raise UnexpectedEofError from error
    except ssl.SSLEOFError as error:
        # Python tells a reset inside TLS from a plain close by nothing but this reason.
        if error.reason == "UNEXPECTED_EOF_WHILE_READING":
            raise UnexpectedEofError from error
        raise WireError("read: connection reset by peer") from error
    except OSError as error:
        raise WireError(f"read: {_reason(error)}") from error


def _receive_counted(response: http.client.HTTPResponse, view: memoryview) -> int:
    remaining = response.length
    if not remaining or response.fp is None:
        return 0
    # One read of the socket, whatever came: `readinto` would wait until the view is full.
    count = response.fp.readinto1(view[:remaining])
    if count == 0:
        raise UnexpectedEofError
    response.length = remaining - count
    return count


class Dialer:
    """Opens connections as one machine can: its DNS, its routes, its trusted CA."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._surroundings.ca_file)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def addresses(self, hostname: str) -> list[str]:
        """Where `hostname` is, in the order to try. Raises WireError in Go's words."""
        if _is_literal(hostname):
            return [hostname]
        if hostname in self._surroundings.hosts:
            return [self._surroundings.hosts[hostname]]
        server = self._surroundings.dns
        try:
            return resolve(server, hostname, self._surroundings.own_address)
        except (NameUnknownError, NameServerError) as error:
            where = f"lookup {hostname} on {server[0]}:{server[1]}"
            raise WireError(f"dial tcp: {where}: {error}") from error

    def proxies(self, url: Url) -> bool:
        """Whether `url` is fetched through a proxy: never this machine's own."""
        return self._proxy_for(url) is not None

    def _proxy_for(self, url: Url) -> tuple[str, int] | None:
        is_own = url.hostname == "localhost" or (
            _is_literal(url.hostname) and ip_address(url.hostname).is_loopback
        )
        around = self._surroundings
        proxy = around.https_proxy if url.scheme == "https" else around.http_proxy
        return None if is_own else proxy

    def dial(self, url: Url, *, is_guarded: bool = False) -> Connection:
        """Connect to the server of `url`, or through the proxy. Raises WireError.

        `is_guarded`: at its first address only, and only if that is public; the proxy's is exempt.
        """
        proxy = self._proxy_for(url)
        if proxy is not None and url.scheme == "http":
            return Connection(self._connect_to_proxy(proxy), url.authority, is_proxy=True)
        if proxy is not None:
            return Connection(self._secure(self._tunnel(proxy, url), url), url.authority)
        default = DEFAULT_PORTS[url.scheme]
        port = url.port or self._surroundings.ports.get(default, default)
        addresses = self.addresses(url.hostname)
        failure: WireError | None = None
        for address in addresses[:1] if is_guarded else addresses:
            if is_guarded and not is_public(address):
                raise WireError(f"dial tcp {address}:{port}: address is not public")
            try:
                plain = self._connect(address, port)
            except OSError as error:
                failure = WireError(f"dial tcp {address}:{port}: connect: {_reason(error)}")
                continue
            return Connection(self._secure(plain, url), url.authority)
        assert failure is not None, "a name that resolves has an address"
        raise failure

    def _tunnel(self, proxy: tuple[str, int], url: Url) -> socket.socket:
        """A connection to the server of `url` as the proxy made it: CONNECT, and 200."""
        server = f"{url.authority}:{DEFAULT_PORTS['https']}" if url.port is None else url.authority
        plain = self._connect_to_proxy(proxy)
        try:
            _ask_for_tunnel(plain, server)
        except WireError:
            plain.close()
            raise
        return plain

    def _connect_to_proxy(self, proxy: tuple[str, int]) -> socket.socket:
        try:
            return self._connect(*proxy)
        except OSError as error:
            where = f"proxyconnect tcp: dial tcp {proxy[0]}:{proxy[1]}: connect"
            raise WireError(f"{where}: {_reason(error)}") from error

    def _connect(self, address: str, port: int) -> socket.socket:
        near = self._surroundings.routes.get(address, address)
        own = self._surroundings.own_address
        source = (f"::ffff:{own}" if ":" in near else own, 0) if own else None
        return socket.create_connection((near, port), DIAL_SECONDS, source)

    def _secure(self, plain: socket.socket, url: Url) -> socket.socket:
        if url.scheme == "http":
            return plain
        plain.settimeout(HANDSHAKE_SECONDS)
        try:
            return self._tls.wrap_socket(
                plain, server_hostname=url.hostname, suppress_ragged_eofs=False
            )
        except ssl.SSLCertVerificationError as error:
            plain.close()
            raise WireError(_certificate_complaint(error, url.hostname)) from error
        except TimeoutError as error:
            plain.close()
            raise WireError("net/http: TLS handshake timeout") from error
        except OSError as error:
            plain.close()
            raise WireError(f"remote error: tls: {_reason(error)}") from error


def _ask_for_tunnel(plain: socket.socket, server: str) -> None:
    """Have the proxy at the other end of `plain` connect it to `server`. Raises WireError."""
    request = f"CONNECT {server} HTTP/1.1\r\nHost: {server}\r\nUser-Agent: {USER_AGENT}\r\n\r\n"
    head = bytearray()
    try:
        plain.sendall(request.encode())
        while not head.endswith(b"\r\n\r\n") and len(head) < PROXY_HEAD_BYTES_MAX:
            byte = plain.recv(1)  # One by one, lest the server's own first bytes be among them.
            if not byte:
                break
            head += byte
    except OSError as error:
        raise WireError(f"proxyconnect tcp: read: {_reason(error)}") from error
    match = _STATUS_LINE.match(head)
    if match is None:
        raise WireError("proxyconnect tcp: malformed HTTP response")
    if match[1] != b"200":
        raise WireError(match[2].decode("latin-1"))


def _is_literal(hostname: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, hostname)
        except OSError:
            continue
        return True
    return False


def _certificate_complaint(error: ssl.SSLCertVerificationError, hostname: str) -> str:
    if error.verify_code in _UNKNOWN_AUTHORITY:
        reason = "x509: certificate signed by unknown authority"
    elif error.verify_code == _HOST_MISMATCH:
        reason = f"x509: certificate is not valid for {hostname}"
    elif error.verify_code in _EXPIRED:
        reason = "x509: certificate has expired or is not yet valid"
    else:
        reason = f"x509: {error.verify_message}"
    return f"tls: failed to verify certificate: {reason}"


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    return (error.strerror or str(error)).lower()
