"""Bearer tokens as the registry and its clients exchange them: both sides' words, in one place.

A request for something private is answered 401 with a challenge. The client fetches the challenge's
realm once, with a signature over method, exact URL and the hash of no body, and asks again with the
token it got. The realm's host is the registry's own, or newer clients refuse it.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from appliance.demo.credentials import ClientKey, is_signed

_EMPTY_BODY = base64.b64encode(hashlib.sha256().hexdigest().encode()).decode()
_PARAMETER = re.compile(r'([a-z]+)="([^"]*)"')
_BEARER = "Bearer "


@dataclass(frozen=True, slots=True)
class Challenge:
    """A Bearer challenge; fields that it lacks are empty."""

    realm: str = ""
    service: str = ""
    scope: str = ""

    def url(self, timestamp: int, nonce: str) -> str:
        """What a client fetches to get a token."""
        query = [("service", self.service), *(("scope", each) for each in self.scope.split(" "))]
        query += [("ts", str(timestamp)), ("nonce", nonce)]
        return f"{self.realm}?{urlencode(sorted(query, key=lambda pair: pair[0]))}"


def parse_challenge(field: str) -> Challenge:
    """Read a WWW-Authenticate field; nonsense gives an empty challenge."""
    if not field.startswith(_BEARER):
        return Challenge()
    found = dict(_PARAMETER.findall(field))
    return Challenge(found.get("realm", ""), found.get("service", ""), found.get("scope", ""))


def sign_token_request(key: ClientKey, url: str) -> str:
    """The Authorization field of a client that fetches `url`."""
    return f"{key.public_key}:{key.sign(f'GET,{url},{_EMPTY_BODY}')}"


class TokenDesk:
    """The registry's side: challenges, and tokens for keys that may have them."""

    def __init__(self, secret: bytes, base_url: str) -> None:
        self._secret = secret
        self.base_url = base_url
        self.keys_allowed: set[str] = set()

    def challenge(self, request: web.BaseRequest) -> web.Response | None:
        """A 401 for a request without a token of ours; None where it has one."""
        sent = request.headers.get("Authorization", "").removeprefix(_BEARER)
        if any(hmac.compare_digest(sent.encode(), self._token(key)) for key in self.keys_allowed):
            return None
        field = f'Bearer realm="{self.base_url}/token",service="demo",scope="repository:pull"'
        return web.Response(status=401, text="unauthorized", headers={"WWW-Authenticate": field})

    def answer(self, request: web.BaseRequest) -> web.Response:
        """The realm: a token for a signed request of an allowed key, else 401."""
        key, _, signature = request.headers.get("Authorization", "").partition(":")
        text = f"GET,{self.base_url}{request.raw_path},{_EMPTY_BODY}"
        if key not in self.keys_allowed or not is_signed(key, signature, text):
            return web.Response(status=401, text="unauthorized")
        return web.json_response({"token": self._token(key).decode()})

    def _token(self, key: str) -> bytes:
        return hmac.new(self._secret, key.encode(), hashlib.sha256).hexdigest().encode()
