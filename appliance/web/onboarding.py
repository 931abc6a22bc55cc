"""The scripts that connect a machine, each with this box's address filled in for who asks.

The address is the one that the client dialled, and never what its Host field says: whoever
can make somebody fetch this with another Host must not have their machine led elsewhere.
"""

import re
import shlex
from collections.abc import Iterator
from importlib import resources

from aiohttp import web

from appliance.web.facts import Facts
from appliance.web.views import Views

_ASSETS = resources.files("appliance.web") / "assets"
_PLACE = "# @VALUES@\n"  # Where a script's own text leaves room for them.
# All that PowerShell takes for the end of a '…' string; doubled, each stands for itself.
_POWERSHELL_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Onboarding:
    """The handlers."""

    def __init__(self, facts: Facts, views: Views) -> None:
        self._facts = facts
        self._views = views
        self._shell = _read_script("install.sh")
        self._powershell = _read_script("install.ps1")

    async def shell(self, request: web.Request) -> web.Response:
        values = (f"{key}={shlex.quote(value)}\n" for key, value in self._values(request))
        return _answer(self._shell.replace(_PLACE, "".join(values)), "text/x-shellscript")

    async def powershell(self, request: web.Request) -> web.Response:
        values = (
            f"${key.title().replace('_', '')} = {quote_powershell(value)}\n"
            for key, value in self._values(request)
        )
        return _answer(self._powershell.replace(_PLACE, "".join(values)), "text/plain")

    def _values(self, request: web.Request) -> Iterator[tuple[str, str]]:
        """What the scripts know of this box, as this client reaches it."""
        address, port = self._views.dialled(request)
        blobs = self._facts.blob_addresses(address)
        yield "BOX_URL", self._views.base_url(request)
        yield "BOX_ADDRESS", address
        yield "BOX_HOST", f"[{address}]" if ":" in address else address
        yield "WEB_PORT", str(port)
        yield "TLS_PORT", str(self._facts.tls_port)
        yield "PROXY_URL", self._views.proxy_url(request) or ""
        yield "REGISTRY", self._facts.registry_name
        yield "BLOB_HOST", self._facts.blob_host
        yield "BLOB_ADDRESS", next(iter((*blobs.v4, *blobs.v6)), "")


def quote_powershell(value: str) -> str:
    """Return a literal that means `value` and nothing else, to any PowerShell."""
    return "'" + _POWERSHELL_QUOTES.sub(lambda quote: quote[0] * 2, value) + "'"


def _read_script(name: str) -> str:
    text = (_ASSETS / name).read_text("utf-8")
    assert text.count(_PLACE) == 1, "the values have one place"
    return text


def _answer(text: str, content_type: str) -> web.Response:
    return web.Response(text=text, content_type=content_type, headers=_HEADERS)
