"""By which door a client came to mitmproxy, as its proxy mode tells.

At the TLS door a client dialled this box for a name; at the proxy door its CONNECT said one, and
TLS inside must be for that name. Each is a reverse mode of an address that nobody can dial: where a
request goes is its own to say (`origin`).
"""

from mitmproxy.connection import Client
from mitmproxy.proxy.mode_specs import ReverseMode

from appliance.policy.delivery import Door

_NOWHERE = ".invalid"  # RFC 2606: resolves for nobody.
_TLS_DOOR = "tls-door"  # One label: no name that a CONNECT is opened for.


def format_mode(connected: str | None = None) -> str:
    """The mode for clients of the TLS door, or for those whose CONNECT named `connected`."""
    return f"reverse:https://{connected or _TLS_DOOR}{_NOWHERE}"


def read_connected(client: Client) -> str | None:
    """The name that the client's CONNECT said; None at the TLS door."""
    mode = client.proxy_mode
    name = mode.address[0].removesuffix(_NOWHERE) if isinstance(mode, ReverseMode) else _TLS_DOOR
    return None if name == _TLS_DOOR else name


def read_door(client: Client) -> Door:
    """The door as policy knows it."""
    return Door.HTTPS if read_connected(client) is None else Door.PROXY
