"""Routes: which of them may be asked without changing anything."""

import pytest
from aiohttp import web

from appliance.web.routes import Route


async def _answer(_: web.Request) -> web.StreamResponse:
    return web.Response()


@pytest.mark.parametrize(
    ("method", "is_safe"), [("GET", True), ("*", True), ("POST", False), ("DELETE", False)]
)
def test_a_route_knows_whether_it_changes_something(method: str, *, is_safe: bool) -> None:
    assert Route(method, "/", _answer, "x").is_safe is is_safe
