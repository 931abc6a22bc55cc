"""`POST /api/v1/<deed>`: what operators may do by the page or a script, each line of it audited."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web

from appliance.policy.roles import DEEDS
from appliance.web.access import IDENTITY, refuse
from appliance.web.forms import FORM_TYPE, read_document, read_form
from appliance.web.login import TROUBLE
from appliance.web.routes import Field, Route

PREFIX = "/api/v1/"

type Deed = Callable[[Mapping[str, Any]], Awaitable[Any]]
type Note = Callable[[str, str, str, Mapping[str, Any], str], None]


_MODEL = Field("model", "its name", is_needed=True)
_DRY_RUN = Field("dry_run", "only tell what would go", "boolean")
_DESCRIPTIONS: Mapping[str, tuple[str, tuple[Field, ...]]] = {
    "pin": ("never let go of a model", (_MODEL,)),
    "unpin": ("let it go when its turn comes", (_MODEL,)),
    "rm": ("let go of a model", (_MODEL, _DRY_RUN)),
    "evict": (
        "let go of what was not pulled for longest",
        (Field("bytes", "to be freed", "integer", is_needed=True), _DRY_RUN),
    ),
    "gc": ("let go of what nothing names", (_DRY_RUN,)),
    "verify": ("read every byte and tell what is wrong", ()),
    "scrub": ("read a model, or everything, and mend what is wrong", (Field("model", "its name"),)),
    "prefetch": ("fetch a model ahead of time, in the background", (_MODEL,)),
    "unprefetch": ("no longer fetch it", (_MODEL,)),
    "pause": ("download nothing that no client waits for", ()),
    "resume": ("download that again", ()),
}


_DONE_ABOVE = frozenset({"pause", "resume", "unprefetch"})  # Their buttons are not by the models.


class Deeds:
    """Each deed is a route. `note` writes the audit log: who, from where, what, and the outcome."""

    def __init__(self, deeds: Mapping[str, Deed], note: Note) -> None:
        self._deeds = deeds
        self._note = note

    def routes(self) -> Iterator[Route]:
        for name in (each for each in DEEDS if each in self._deeds):
            handler = partial(self._perform, name)
            what, wish = _DESCRIPTIONS[name]
            yield Route("POST", PREFIX + name, handler, what, DEEDS[name], body=wish)

    async def _perform(self, name: str, request: web.Request) -> web.Response:
        try:
            wish = await _read_wish(request)
        except ValueError:
            return refuse(HTTPStatus.BAD_REQUEST, "this is no JSON object", 'as in {"model": "x"}')
        try:
            answer = await self.carry_out(name, wish, request)
        except DeedRefusedError as fault:
            if request.content_type == FORM_TYPE:
                return web.HTTPSeeOther(f"/?{TROUBLE}={name}")
            return refuse(HTTPStatus.CONFLICT, str(fault), fault.hint)
        if request.content_type == FORM_TYPE:  # A person, who wants the page back.
            place = "now" if name in _DONE_ABOVE else "models"
            return web.HTTPSeeOther(f"/?done={name}#{place}")
        return web.json_response(answer)

    async def carry_out(self, name: str, wish: Mapping[str, Any], request: web.Request) -> Any:
        """Do it, and note whose wish it was and what came of it. Raises DeedRefusedError."""
        who, where = request[IDENTITY].name, request.remote or ""
        try:
            answer = await self._deeds[name](wish)
        except Exception as fault:
            if not hasattr(fault, "hint"):
                self._note(who, where, name, wish, "failed")
                raise
            self._note(who, where, name, wish, f"refused: {fault}")
            raise DeedRefusedError(str(fault), str(fault.hint)) from fault
        self._note(who, where, name, wish, "done")
        return answer


class DeedRefusedError(Exception):
    """It cannot be done as things are; `hint` says what to do about that."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


async def _read_wish(request: web.Request) -> dict[str, Any]:
    """The wish, as JSON or as a form. Raises ValueError."""
    if request.content_type == FORM_TYPE:
        return dict(await read_form(request))
    return await read_document(request)
