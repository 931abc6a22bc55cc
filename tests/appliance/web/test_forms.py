"""Forms: any body is one, if perhaps an empty one."""

from typing import Any, cast

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from appliance.web.forms import read_form


class Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self) -> bytes:
        return self._content


async def read(content: bytes) -> dict[str, str]:
    return await read_form(cast(web.Request, cast(Any, Body(content))))


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b"password=correct+horse", {"password": "correct horse"}),
        (b"a=1&b=%C3%A9&a=2&c=", {"a": "2", "b": "é", "c": ""}),
        (b"", {}),
        (b"&".join([b"a=1"] * 21), {}),
    ],
)
async def test_the_fields_of_a_form(content: bytes, fields: dict[str, str]) -> None:
    assert await read(content) == fields


@given(st.binary(max_size=200))
async def test_no_body_is_an_error(content: bytes) -> None:
    assert isinstance(await read(content), dict)
