"""Gives tokens out, lists them, and takes them back: on the control socket, so on this machine."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from appliance.control import Deed
from appliance.policy.roles import parse_role
from appliance.store.records import TokenRecord
from appliance.store.store import Store
from appliance.tokens import NAME_LENGTH_MAX, TOKEN_SECONDS_MAX, Tokens


class TokenRefusedError(Exception):
    """No such token can be given out, or taken back."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


class TokenDesk:
    """The deeds and the question of the verb `token`."""

    def __init__(self, store: Store, tokens: Tokens, *, now: Callable[[], float]) -> None:
        self._store = store
        self._tokens = tokens
        self._now = now

    def deeds(self) -> Mapping[str, Deed]:
        return {"token-create": self.create, "token-revoke": self.revoke}

    async def create(self, wish: Mapping[str, Any]) -> Any:
        """Give out a token for `name`, with `role`, for `seconds`. It is kept nowhere."""
        name, seconds = str(wish.get("name", "")), wish.get("seconds")
        if not (0 < len(name) <= NAME_LENGTH_MAX and name.isprintable()):
            raise TokenRefusedError(
                "a token is somebody's", f"name it, in {NAME_LENGTH_MAX} characters or fewer"
            )
        if type(seconds) is not int or not 0 < seconds <= TOKEN_SECONDS_MAX:
            raise TokenRefusedError("a token ends within a year", "such as --days 90")
        try:
            role = parse_role(str(wish.get("role", "")))
        except ValueError as error:
            raise TokenRefusedError(str(error), "such as --role operator") from error
        token, issued = self._tokens.issue(name, role, seconds)
        now = self._now()
        record = TokenRecord(issued.token_id, name, role.name.lower(), int(now), issued.expires_at)
        await asyncio.to_thread(self._store.record_token, record, now=now)
        return {"id": issued.token_id, "token": token}

    async def revoke(self, wish: Mapping[str, Any]) -> Any:
        """End the token with this `id` now."""
        record = self._store.find_token(str(wish.get("id", "")))
        if record is None:
            raise TokenRefusedError(
                "no token has this id", "see which there are: ollama-appliance token list"
            )
        revoked = replace(record, is_revoked=True)
        await asyncio.to_thread(self._store.record_token, revoked, now=self._now())
        return {"name": record.name}

    async def list_tokens(self) -> Any:
        """Those that are good now."""
        found = await asyncio.to_thread(self._store.tokens)
        return [
            {
                "id": each.token_id,
                "name": each.name,
                "role": each.role,
                "issued_at": each.issued_at,
                "expires_at": each.expires_at,
            }
            for each in sorted(found, key=lambda each: each.issued_at)
            if not each.is_revoked and each.expires_at > self._now()
        ]


def make_tokens(store: Store, secret: bytes, now: Callable[[], float]) -> Tokens:
    """The box's tokens; those that the ledger names as revoked are over."""

    def is_revoked(token_id: str) -> bool:
        record = store.find_token(token_id)
        return record is not None and record.is_revoked

    return Tokens(secret, now=now, is_revoked=is_revoked)
