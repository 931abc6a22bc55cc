"""Who asks the side server, and whether he may: a token, a session's cookie, and whose page it was.

A token comes in the Authorization field (RFC 6750), from scripts. A session comes in a cookie that
browsers send to this host only, never from another site, and never show to a script; for whatever
changes something, the Origin and the Host have to be this box's own as well. Programs that send
neither (Ollama's own client) may ask for what its API offers to anybody, as long as no browser is
behind it.
"""

import json
from collections.abc import Collection
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from appliance.policy.roles import Role, may
from appliance.policy.sameorigin import is_own_host, is_same_origin
from appliance.protocol.errors import RequestInvalid
from appliance.protocol.heads import parse_host
from appliance.tokens import NOBODY, Identity, TokenInvalidError, Tokens
from appliance.web.routes import Route

COOKIE_NAME = "ollama-appliance"
IDENTITY = web.RequestKey("identity", Identity)

_BEARER = "Bearer "


class Access:
    """The gate before every route. `names` are those by which browsers may reach the page."""

    def __init__(self, tokens: Tokens, names: Collection[str]) -> None:
        self.tokens = tokens
        self._names = frozenset(names)

    def guard(self, route: Route) -> Handler:
        """The route's handler for those who may, and a refusal for everybody else."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if route.needs is Role.ANYONE and route.is_safe:
                return await route.handler(request)
            try:
                identity = self._identify_for(route, request)
            except ForeignPageError as fault:
                return refuse(HTTPStatus.FORBIDDEN, str(fault), fault.hint)
            except TokenInvalidError as fault:
                if route.needs is not Role.ANYONE:  # Else a session that is over could not log in.
                    return refuse(HTTPStatus.UNAUTHORIZED, str(fault), fault.hint)
                identity = NOBODY
            if not may(identity.role, route.needs):
                return _refuse_role(identity, route.needs)
            request[IDENTITY] = identity
            return await route.handler(request)

        return guarded

    def identify(self, request: web.Request) -> Identity:
        """Who asks for something that changes nothing; nobody, where a token is no good."""
        try:
            return self._identify(request, is_safe=True)
        except TokenInvalidError:
            return NOBODY

    def _identify_for(self, route: Route, request: web.Request) -> Identity:
        if route.is_for_programs:
            if _is_of_a_page(request):
                self._check_page(request)
            elif "Authorization" not in request.headers:
                return NOBODY  # Never by what a browser keeps.
        return self._identify(request, is_safe=route.is_safe)

    def _identify(self, request: web.Request, *, is_safe: bool) -> Identity:
        field = request.headers.get("Authorization")
        if field is not None:
            if not field.startswith(_BEARER):
                raise TokenInvalidError("the Authorization field holds no bearer token")
            return self.tokens.read(field.removeprefix(_BEARER).strip())
        if not is_safe:
            self._check_page(request)
        cookie = request.cookies.get(COOKIE_NAME)
        return NOBODY if cookie is None else self.tokens.read(cookie)

    def _check_page(self, request: web.Request) -> None:
        """Raise ForeignPageError unless the request comes from a page of this box's own."""
        authority = request.headers.get("Host", "")
        try:
            name = parse_host(authority).name
        except RequestInvalid as error:
            raise ForeignPageError("this request has no Host") from error
        if not is_own_host(name, self._names):
            raise ForeignPageError(f"{name[:80]} is no name of this box")
        if not is_same_origin(request.headers.get("Origin"), authority):
            raise ForeignPageError("this request comes from no page of this box")


def _is_of_a_page(request: web.Request) -> bool:
    """Whether a browser sent it: all name a page's origin with what is no GET, newer ones more."""
    return "Origin" in request.headers or "Sec-Fetch-Site" in request.headers


class ForeignPageError(Exception):
    """A page that is not this box's own asks for a change."""

    hint = "use the page by the box's address, or name it in web.names; scripts send a token"


def refuse(status: HTTPStatus, error: str, hint: str) -> web.Response:
    """An error with what to do about it, as JSON."""
    text = json.dumps({"error": error, "hint": hint}) + "\n"
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


def _refuse_role(identity: Identity, needed: Role) -> web.Response:
    role = needed.name.lower()
    if identity.role is Role.ANYONE:
        hint = f"log in, or send a token: ollama-appliance token create NAME --role {role}"
        return refuse(HTTPStatus.UNAUTHORIZED, f"this needs the role {role}", hint)
    error = f"this needs the role {role}, and {identity.name} is {identity.role.name.lower()}"
    return refuse(HTTPStatus.FORBIDDEN, error, "log in as an admin, or use another token")
