"""Logging in with the admin password, and out again.

The password is the operator's, in a file; without one nobody can log in. What comes back is a token
in a cookie. Tries are counted by address, so that nobody guesses at the speed of the LAN.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from appliance.policy.roles import Role
from appliance.tokens import LOGIN_SECONDS, Tokens
from appliance.web.access import COOKIE_NAME, refuse
from appliance.web.forms import read_form

TRIES_MAX = 5  # In TRIES_SECONDS, from one address: a person's slips, and hopeless for a guesser.
TRIES_SECONDS = 60.0
ADDRESSES_MAX = 1000  # Counted at once; the oldest are forgotten.
PASSWORD_LENGTH_MIN = 8  # Fewer are guessed in days even at that pace.

_NO_PASSWORD_HINT = "write one to a file, 0600, and name it in web.admin_password_file"  # noqa: S105


TROUBLE = "trouble"  # The query's key by which a login that failed comes back to the page.
_REFUSALS = {
    "tries": (HTTPStatus.TOO_MANY_REQUESTS, "too many tries", "wait a minute"),
    "password": (HTTPStatus.FORBIDDEN, "this is not the admin password", "try again"),
}


class PasswordFileError(Exception):
    """The admin password cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"there is no admin password to log in with: {reason}")
        self.hint = _NO_PASSWORD_HINT


class Login:
    """The two routes. `password_file` is None where logging in is not wanted."""

    def __init__(
        self, tokens: Tokens, password_file: Path | None, note: Callable[[str, str, str], None]
    ) -> None:
        """`note` is told who, from where, and what came of it."""
        self._tokens = tokens
        self._password_file = password_file
        self._note = note
        self._tries: dict[str, list[float]] = {}

    @property
    def is_possible(self) -> bool:
        return self._password_file is not None

    async def log_in(self, request: web.Request) -> web.Response:
        """POST of a form with `password`: a cookie and back to the page, or a refusal."""
        address = request.remote or ""
        if not self._may_try(address):
            return _refuse(request, "tries")
        given = (await read_form(request)).get("password", "")
        try:
            wanted = await asyncio.to_thread(read_password, self._password_file)
        except PasswordFileError as fault:
            return refuse(HTTPStatus.FORBIDDEN, str(fault), fault.hint)
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            self._note("nobody", address, "refused: wrong password")
            return _refuse(request, "password")
        self._tries.pop(address, None)
        self._note("admin", address, "logged in")
        token, _ = self._tokens.issue("admin", Role.ADMIN, LOGIN_SECONDS)
        response = web.HTTPSeeOther("/")
        response.set_cookie(
            COOKIE_NAME, token, max_age=LOGIN_SECONDS, httponly=True, samesite="Strict", path="/"
        )
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        """POST: the cookie goes. The token in it ends by itself."""
        response = web.HTTPSeeOther("/")
        response.del_cookie(COOKIE_NAME, path="/", httponly=True, samesite="Strict")
        return response

    def _may_try(self, address: str) -> bool:
        now = time.monotonic()
        tries = [at for at in self._tries.pop(address, []) if now - at < TRIES_SECONDS]
        self._tries[address] = [*tries, now][-TRIES_MAX:]
        if len(self._tries) > ADDRESSES_MAX:
            del self._tries[next(iter(self._tries))]
        return len(tries) < TRIES_MAX


def _refuse(request: web.Request, trouble: str) -> web.Response:
    """The page again for a person, which says what it was; else a refusal as JSON."""
    if "text/html" in request.headers.get("Accept", ""):
        return web.HTTPSeeOther(f"/?{TROUBLE}={trouble}")
    return refuse(*_REFUSALS[trouble])


def read_password(path: Path | None) -> str:
    """The admin password: the first line of its file. Blocks. Raises PasswordFileError."""
    if path is None:
        raise PasswordFileError("web.admin_password_file is not set")
    try:
        password = path.read_text("utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PasswordFileError(f"{path} cannot be read") from error
    if len(password) < PASSWORD_LENGTH_MIN:
        raise PasswordFileError(f"{path} holds fewer than {PASSWORD_LENGTH_MIN} characters")
    return password
