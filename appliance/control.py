"""`/api/v1` over `control.sock`: how the verbs reach a running box.

The socket is the state directory's, mode 0600: who may write there may ask here. A socket's path
has 107 bytes at most and a state directory may be deeper than that, so it is reached through the
directory's descriptor.
"""

import asyncio
import json
import os
import socket
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from appliance.protocol.fields import format_authority

SOCKET_NAME = "control.sock"
PREFIX = "/api/v1/"
CALL_SECONDS = 10.0  # A status takes milliseconds; past this the box hangs.
STOP_SECONDS = 1.0  # What an answer under way may still take when the box stops.

BODY_SIZE_BYTES_MAX = 64 * 1024  # A wish is a few words.

type Ask = Callable[[], Awaitable[Any]]
type Deed = Callable[[Mapping[str, Any]], Awaitable[Any]]
type Story = Callable[[Mapping[str, Any]], AsyncGenerator[Any]]


class BoxNotRunningError(Exception):
    """Nothing answers on the control socket."""

    hint = "start it: ollama-appliance run"


class BoxPuzzledError(BoxNotRunningError):
    """A box runs, and does not answer this question."""

    hint = "is it of this version? restart it, or see its log"


class BoxRefusesError(Exception):
    """The box will not do what was wished for; `hint` says what to type instead."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


class Control:
    """Serves questions about the box (GET) and does deeds (POST), each by its name.

    A deed's exception that has a `hint` is an answer; any other is a failure of the box. A story is
    a deed that tells how far it is, one line of JSON after the other. Use with `async with`.
    """

    def __init__(
        self,
        state_dir: Path,
        questions: Mapping[str, Ask],
        deeds: Mapping[str, Deed] | None = None,
        stories: Mapping[str, Story] | None = None,
    ) -> None:
        self._path = state_dir / SOCKET_NAME
        self._questions = questions
        self._deeds = deeds or {}
        self._stories = stories or {}

    async def __aenter__(self) -> "Control":
        app = web.Application(client_max_size=BODY_SIZE_BYTES_MAX)
        app.router.add_get(PREFIX + "{question}", self._answer)
        app.router.add_post(PREFIX + "{deed}", self._perform)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
        await self._runner.setup()
        assert self._runner.server is not None, "it is set up"
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            self._runner.server, sock=_listen_privately(self._path)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._runner.cleanup()
        self._path.unlink(missing_ok=True)

    async def _answer(self, request: web.Request) -> web.Response:
        ask = self._questions.get(request.match_info["question"])
        if ask is None:
            raise web.HTTPNotFound(text=f"this box answers: {', '.join(self._questions)}\n")
        return web.json_response(await ask())

    async def _perform(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["deed"]
        deed, story = self._deeds.get(name), self._stories.get(name)
        if deed is None and story is None:
            known = ", ".join((*self._deeds, *self._stories))
            raise web.HTTPNotFound(text=f"this box does: {known}\n")
        wish = await _read_wish(request)
        try:
            if deed is not None:
                return web.json_response(await deed(wish))
            assert story is not None, "one of them is there"
            lines = story(wish)
            async with aclosing(lines):
                first = await anext(lines)  # Until there is one, it may still be refused.
                return await _tell(request, first, lines)
        except Exception as fault:  # noqa: BLE001  # One without a hint is raised again.
            return web.json_response(_describe_fault(fault), status=HTTPStatus.CONFLICT)


def _describe_fault(fault: Exception) -> dict[str, str]:
    """What a verb shows of a fault; raises one that has no hint again: it is a failure of ours."""
    if not hasattr(fault, "hint"):
        raise fault
    return {"error": str(fault), "hint": fault.hint}


async def _tell(request: web.Request, first: Any, lines: AsyncGenerator[Any]) -> web.StreamResponse:
    """Answer line by line; a fault on the way is the last of them."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    with suppress(ConnectionError):  # Who asked has gone.
        await response.prepare(request)
        await response.write(_format_line(first))
        try:
            async for line in lines:
                await response.write(_format_line(line))
        except ConnectionError:
            raise
        except Exception as fault:  # noqa: BLE001  # One without a hint is raised again.
            await response.write(_format_line(_describe_fault(fault)))
        await response.write_eof()
    return response


def _format_line(line: Any) -> bytes:
    return json.dumps(line).encode() + b"\n"


async def _read_wish(request: web.Request) -> Mapping[str, Any]:
    try:
        wish = await request.json()
    except ValueError:
        wish = None
    if not isinstance(wish, dict):
        raise web.HTTPBadRequest(text="a wish is a JSON object\n")
    return wish


def _listen_privately(path: Path) -> socket.socket:
    """Listen at `path`, in place of whatever a box that was killed left there.

    It takes its name only when it is closed to others; a umask would hold for all threads.
    """
    scratch = path.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reached(scratch) as short:
            opened.bind(short)
        scratch.chmod(0o600)
        opened.listen()
        opened.setblocking(False)
        scratch.rename(path)
    except OSError:
        opened.close()
        raise
    return opened


@contextmanager
def _reached(path: Path) -> Iterator[str]:
    """A short path to the same file, good while this is entered. Raises OSError."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


async def ask_box(state_dir: Path, question: str) -> Any:
    """Ask the running box; its answer as parsed JSON.

    Raises:
        BoxNotRunningError: no box runs on this state directory, or it hangs.
        BoxPuzzledError: it does not know the question, or fails at it.
    """
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    try:
        async with (
            _open_session(state_dir / SOCKET_NAME, timeout) as session,
            session.get(f"http://box{PREFIX}{question}") as reply,
        ):
            if reply.status != HTTPStatus.OK:
                raise BoxPuzzledError(f"the box answers {reply.status} to {question!r}")
            return json.loads(await reply.read())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BoxNotRunningError(f"no box answers at {state_dir / SOCKET_NAME}") from error


async def wish_of_box(state_dir: Path, deed: str, wish: Mapping[str, Any]) -> Any:
    """Have the running box do something, however long that takes; its answer as parsed JSON.

    Raises:
        BoxRefusesError: it will not, and says why.
        BoxNotRunningError: no box runs on this state directory, or it went away meanwhile.
        BoxPuzzledError: it does not know how, or fails at it.
    """
    try:
        async with (
            _open_session(state_dir / SOCKET_NAME, aiohttp.ClientTimeout(total=None)) as session,
            session.post(f"http://box{PREFIX}{deed}", json=dict(wish)) as reply,
        ):
            await _check_reply(reply, deed)
            return json.loads(await reply.read())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BoxNotRunningError(f"no box answers at {state_dir / SOCKET_NAME}") from error


async def follow_box(state_dir: Path, story: str, wish: Mapping[str, Any]) -> AsyncGenerator[Any]:
    """Have the running box do something that it tells line by line; each line as parsed JSON.

    Raises what `wish_of_box` raises.
    """
    try:
        async with (
            _open_session(state_dir / SOCKET_NAME, aiohttp.ClientTimeout(total=None)) as session,
            session.post(f"http://box{PREFIX}{story}", json=dict(wish)) as reply,
        ):
            await _check_reply(reply, story)
            async for line in reply.content:
                yield json.loads(line)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BoxNotRunningError(f"no box answers at {state_dir / SOCKET_NAME}") from error


async def _check_reply(reply: aiohttp.ClientResponse, deed: str) -> None:
    if reply.status == HTTPStatus.CONFLICT:
        raise BoxRefusesError(**_read_refusal(await reply.read()))
    if reply.status != HTTPStatus.OK:
        raise BoxPuzzledError(f"the box answers {reply.status} to {deed!r}")


def _read_refusal(body: bytes) -> dict[str, str]:
    told = json.loads(body)
    return {"reason": told["error"], "hint": told["hint"]}


@asynccontextmanager
async def _open_session(
    path: Path, timeout: aiohttp.ClientTimeout
) -> AsyncIterator[aiohttp.ClientSession]:
    with _reached(path) as short:
        connector = aiohttp.UnixConnector(short)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            yield session


def call_health(state_dir: Path, places: Iterable[tuple[str, int]]) -> Any:
    """What `/health` says at the first of `places` where the box of `state_dir` answers.

    With its disk missing there is no control socket: that lies in the state directory.

    Raises:
        BoxNotRunningError: none does, or another one.
    """
    return asyncio.run(_ask_health(str(state_dir.absolute()), places))


async def _ask_health(state_dir: str, places: Iterable[tuple[str, int]]) -> Any:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS)) as session:
        for host, port in places:
            url = f"http://{format_authority(host, port, default_port=80)}/health"
            with suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
                async with session.get(url) as reply:
                    told = json.loads(await reply.read())
                if isinstance(told, dict) and told.get("state_dir") == state_dir:
                    return told
    raise BoxNotRunningError(f"no box answers at {Path(state_dir) / SOCKET_NAME}")


def call_box(state_dir: Path, question: str) -> Any:
    """`ask_box` for callers without a loop."""
    return asyncio.run(ask_box(state_dir, question))
