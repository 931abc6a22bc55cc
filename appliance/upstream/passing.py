"""Requests handed on to the origin as they came, and its answers as they are: nothing is kept.

Redirects are the client's to follow. The address dialled is checked as for all that the box asks.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from appliance.protocol.fields import format_via
from appliance.upstream.dialling import Dialling
from appliance.upstream.troubles import TROUBLE, describe_trouble


class Passage:
    """The way to the origin at `url`. Use with `async with`."""

    def __init__(self, url: str, dialling: Dialling, *, via: str) -> None:
        self._origin = URL(url).origin()
        self._dialling = dialling
        self._fields = {"Via": format_via(via), "Accept-Encoding": "identity"}

    async def __aenter__(self) -> "Passage":
        self._session = self._dialling.open_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    @asynccontextmanager
    async def ask(
        self, method: str, target: str, fields: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask the origin for `target`, an absolute path and its query as they were written.

        Raises:
            OriginUnreachableError: it gives no answer.
        """
        assert target.startswith("/"), "nothing can stand before the path"
        try:
            # Not joined as a reference: `//elsewhere/` would be another host's.
            url = URL(f"{self._origin}{target}", encoded=True)
            await self._dialling.check_url(url, secure=self._origin.scheme == "https")
            reply = await self._session.request(
                method, url, headers={**fields, **self._fields}, allow_redirects=False
            )
        except TROUBLE as error:
            raise describe_trouble(error) from None
        async with reply:
            yield reply
