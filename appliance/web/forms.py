"""Forms of the page: what a browser sends when somebody presses a button."""

from urllib.parse import parse_qsl

from aiohttp import web

FORM_TYPE = "application/x-www-form-urlencoded"
FIELDS_MAX = 20  # The largest form of the page has three.


async def read_form(request: web.Request) -> dict[str, str]:
    """The form's fields, the last of each name; nothing where it is not one.

    Raises HTTPRequestEntityTooLarge.
    """
    text = (await request.read()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:  # More fields than that.
        return {}
