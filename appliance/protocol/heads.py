"""What makes a request's head one that is read in one way only (RFC 9112; request smuggling).

Parsers differ in what they let through, and ours sits between two of them: mitmproxy folds obsolete
line folding into values and takes heads without Host or with two. So both doors hand their fields
here, as bytes, before anything is decided.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

from appliance.protocol.errors import FieldsTooLarge, RequestInvalid

HEAD_SIZE_BYTES_MAX = 64 * 1024  # The largest of the usual servers' limits (h2o, Envoy).
HEAD_SECONDS_MAX = 10.0  # For a head that fits one packet; slower is a held-open socket.
IDLE_SECONDS_MAX = 60.0  # Between requests of a connection that is kept alive.

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 §5.5
_LABEL = r"[0-9A-Za-z_-]+"
_HOST = re.compile(rf"(?:\[([0-9a-fA-F:.]+)\]|((?:{_LABEL}\.)*{_LABEL})\.?)(?::([0-9]{{1,5}}))?")


@dataclass(frozen=True, slots=True)
class Host:
    """A `Host` field: a name in lower case, without its last dot, and the port that it says.

    An IPv6 address stands there without brackets and in its shortest spelling.
    """

    name: str
    port: int | None


def check_head(fields: Sequence[tuple[bytes, bytes]]) -> Host:
    """Return the one host of a request that can be read in one way only.

    Raises:
        RequestInvalid: a control character, no Host or two, or a body framed in two ways.
        FieldsTooLarge: more than HEAD_SIZE_BYTES_MAX.
    """
    if sum(len(name) + len(value) + 4 for name, value in fields) > HEAD_SIZE_BYTES_MAX:
        raise FieldsTooLarge(f"a head has at most {HEAD_SIZE_BYTES_MAX} bytes")
    for name, value in fields:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise RequestInvalid("a field holds characters that no field may hold")
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1 or any(not length.isdigit() for length in lengths):
        raise RequestInvalid("the body's length is said in two ways")
    if codings and codings[0].strip().lower() != b"chunked":
        raise RequestInvalid("a transfer coding other than chunked")
    hosts = [value for name, value in fields if name.lower() == b"host"]
    if len(hosts) != 1:
        raise RequestInvalid("a request has one Host field")
    return parse_host(hosts[0].decode("latin-1"))


def parse_host(field: str) -> Host:
    """Read `name[:port]`. Raises RequestInvalid."""
    match = _HOST.fullmatch(field.strip(" \t"))
    if match is None:
        raise RequestInvalid("the Host field names no host")
    port = None if match[3] is None else int(match[3])
    if port is not None and not 0 < port < 65536:
        raise RequestInvalid("the Host field names no port")
    return Host(match[2].lower() if match[2] else _shorten(match[1]), port)


def _shorten(address: str) -> str:
    try:
        return str(IPv6Address(address))
    except ValueError as error:
        raise RequestInvalid("the Host field names no host") from error
