"""A client's talk with the registry itself: everything of a pull but the parts.

Connections are kept and reused while bodies are read to their end, so an answer that is followed by
stray bytes spoils the next one here as it does with a real client.
"""

import gzip
import http.client
import json
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from appliance.demo.credentials import ClientKey
from appliance.demo.lifeline import Lifeline
from appliance.demo.tokens import Challenge, parse_challenge, sign_token_request
from appliance.demo.urls import Url, WireError, parse_url
from appliance.demo.wire import REDIRECT_STATUSES, REDIRECTS_MAX, Connection, receive_into

type Following = Callable[[Url], bool]
"""Whether a redirect to this URL is followed."""


class Dials(Protocol):
    """Opens a connection to the server of a URL."""

    def dial(self, url: Url, /) -> Connection: ...


class PullError(Exception):
    """The pull failed. The text is what a user of Ollama reads."""

    hint = "see the sentence: it is what `ollama pull` prints in the same case"


class DeadlineError(PullError):
    """A step took longer than the client allows it."""

    def __init__(self) -> None:
        super().__init__("context deadline exceeded")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the user is to the registry: a key, and the wall clock that token requests name."""

    key: ClientKey
    now: Callable[[], float]


class Answer:
    """A response whose body is read or given up by whoever holds it: a context manager."""

    def __init__(
        self, url: Url, response: http.client.HTTPResponse, give_back: Callable[[bool], None]
    ) -> None:
        self.url = url
        self.status = response.status
        self._response = response
        self._give_back = give_back

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._response.length == 0:
            self._response.read()  # Nothing to read, so the connection is kept, as Go does.
        self._give_back(self._response.isclosed())

    def field(self, name: str) -> str | None:
        return self._response.getheader(name)

    def read(self) -> bytes:
        """The whole body, unpacked. Raises WireError."""
        try:
            body = self._response.read()
            return gzip.decompress(body) if self.field("Content-Encoding") == "gzip" else body
        except (http.client.HTTPException, OSError, EOFError) as error:
            raise WireError("unexpected EOF") from error

    def receive_into(self, view: memoryview) -> int:
        """Read what has come of the body; 0 at its end. Raises StalledError, WireError."""
        return receive_into(self._response, view)


class Conversation:
    """Requests of one pull to the registry, one at a time. Close it by leaving its context."""

    def __init__(
        self,
        dialer: Dials,
        user_agent: str,
        lifeline: Lifeline,
        identity: Identity | None = None,
        token: str | None = None,
    ) -> None:
        self._dialer = dialer
        self._user_agent = user_agent
        self._lifeline = lifeline
        self._identity = identity
        self._token = token
        self._idle: dict[tuple[str, str], Connection] = {}
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    def ask(
        self,
        method: str,
        url: Url,
        may_follow: Following,
        deadline: float | None = None,
        **more_fields: str,
    ) -> Answer:
        """Return the answer to a request, of status below 400; get a token first if asked to.

        `deadline` is monotonic; `more_fields` are sent beside those that every request has.

        Raises:
            PullError: 404 and other failures, in the client's words.
            WireError: no answer.
            DeadlineError: it is past `deadline`.
        """
        for _ in range(2):
            answer = self._ask_following(method, url, may_follow, deadline, more_fields)
            if answer.status < 400:
                return answer
            with answer:
                self._complain(answer, url)
        raise PullError("unauthorized: access denied")

    def _complain(self, answer: Answer, url: Url) -> None:
        """Raise what the status means; for a 401, get a token instead."""
        body = answer.read().decode("utf-8", "replace")
        if answer.status == 401:
            self._fetch_token(parse_challenge(answer.field("WWW-Authenticate") or ""), url)
        elif answer.status == 404:
            raise PullError("file does not exist")
        else:
            raise PullError(f"{answer.status}: {body}")

    def _ask_following(
        self,
        method: str,
        url: Url,
        may_follow: Following,
        deadline: float | None,
        more_fields: dict[str, str],
    ) -> Answer:
        fields = self._fields(method, more_fields)
        for _ in range(REDIRECTS_MAX + 1):
            answer = self._ask_once(method, url, fields, deadline)
            location = answer.field("Location")
            if answer.status not in REDIRECT_STATUSES or location is None:
                return answer
            url = url.join(location)
            if not may_follow(url):
                return answer
            with answer:
                answer.read()
        raise WireError(f'{method.capitalize()} "{url}": stopped after {REDIRECTS_MAX} redirects')

    def part_fields(self) -> dict[str, str]:
        """What releases send with a part that ask the registry itself for it."""
        fields = {"User-Agent": self._user_agent}
        return fields | ({"Authorization": f"Bearer {self._token}"} if self._token else {})

    def _fields(self, method: str, more_fields: dict[str, str]) -> dict[str, str]:
        fields = self.part_fields() | more_fields
        if method == "GET" and "Range" not in fields:
            fields["Accept-Encoding"] = "gzip"  # Go does wherever it may unpack the body unseen.
        return fields

    def _ask_once(
        self, method: str, url: Url, fields: dict[str, str], deadline: float | None
    ) -> Answer:
        place = url.scheme, url.authority
        self._lifeline.check()
        kept = self._idle.pop(place, None)
        try:
            if kept is not None:
                try:
                    return self._send(kept, method, url, fields, deadline)
                except WireError:  # The server may have closed it meanwhile: Go asks anew.
                    kept.socket.close()
            return self._send(self._open(url), method, url, fields, deadline)
        except WireError as error:
            self._lifeline.check()
            raise WireError(f'{method.capitalize()} "{url}": {error}') from error

    def _open(self, url: Url) -> Connection:
        connection = self._dialer.dial(url)
        self._held.enter_context(self._lifeline.holding(connection.socket))
        return connection

    def _send(
        self,
        connection: Connection,
        method: str,
        url: Url,
        fields: dict[str, str],
        deadline: float | None,
    ) -> Answer:
        _set_timeout(connection.socket, deadline)
        response = connection.ask(method, url, fields)

        def give_back(was_read: bool) -> None:
            if was_read and connection.is_reusable:
                self._idle[url.scheme, url.authority] = connection
            else:
                response.close()
                connection.socket.close()

        return Answer(url, response, give_back)

    def _fetch_token(self, challenge: Challenge, url: Url) -> None:
        if self._identity is None:
            raise PullError("unauthorized: access denied")
        nonce = secrets.token_urlsafe(16)
        realm = parse_url(challenge.url(int(self._identity.now()), nonce))
        if realm.authority != url.authority:
            hosts = f'"{realm.authority}" does not match original host "{url.authority}"'
            raise PullError(f"realm host {hosts}")
        signature = sign_token_request(self._identity.key, str(realm))
        fields = {"User-Agent": self._user_agent, "Authorization": signature}
        with self._ask_once("GET", realm, fields, None) as answer:
            body = answer.read()
        if answer.status >= 400:
            raise PullError(f"{answer.status}: {body.decode('utf-8', 'replace')}")
        self._token = json.loads(body)["token"]


def _set_timeout(connection: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        connection.settimeout(None)
        return
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise DeadlineError
    connection.settimeout(seconds)
