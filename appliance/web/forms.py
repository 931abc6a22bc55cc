"""Bodies of requests, bounded in time: JSON, and the forms that a browser sends for a button."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

FORM_TYPE = "application/x-www-form-urlencoded"
FIELDS_MAX = 20  # The largest form of the page has three.
BODY_SECONDS_MAX = 10.0  # As for a head: it fits a packet or two.


async def read_body(request: web.Request) -> bytes:
    """A request's body.

    Raises HTTPRequestEntityTooLarge, and ConnectionError where it takes too long or breaks off.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await request.read()
    except TimeoutError:
        raise ConnectionResetError("the body takes too long") from None


async def read_form(request: web.Request) -> dict[str, str]:
    """The form's fields, the last of each name; nothing where it is not one.

    Raises as `read_body`.
    """
    text = (await read_body(request)).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:  # More fields than that.
        return {}


async def read_document(request: web.Request) -> dict[str, Any]:
    """A JSON object; an empty one where there is no body. Raises ValueError, and as `read_body`."""
    try:
        document = json.loads(await read_body(request) or b"{}")
    except RecursionError as error:  # Brackets, and nothing else.
        raise ValueError("nested too deep") from error
    if isinstance(document, dict):
        return document
    raise ValueError("no object")
