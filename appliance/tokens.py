"""Tokens: who somebody is, and what he may, signed by this box and good until a day.

They are JWTs (RFC 7519), signed with HMAC-SHA256 by a key derived from the box's own secret:
another box's are worth nothing here, and all of them end when the secret is replaced. One that must
end sooner is named in the ledger.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import jwt

from appliance.policy.roles import Role, parse_role

LOGIN_SECONDS = 12 * 3600  # A working day; then the password is asked for again.
TOKEN_SECONDS_MAX = 366 * 86400  # A script's; longer than that nobody remembers that it exists.
NAME_LENGTH_MAX = 64  # It stands in every line of the audit log.
TOKEN_LENGTH_MAX = 2048  # Ours have some 250.

_ALGORITHM = "HS256"
_ISSUER = "ollama-appliance"


class TokenInvalidError(Exception):
    """No token of this box, or one that is over."""

    hint = "make one: ollama-appliance token create NAME --role operator"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `token_id` is "" for nobody in particular."""

    name: str
    role: Role
    token_id: str = ""
    expires_at: int = 0


NOBODY = Identity("nobody", Role.ANYONE)


class Tokens:
    """Signs and reads tokens. `is_revoked` tells whether a token's id was named as over."""

    def __init__(
        self, secret: bytes, *, now: Callable[[], float], is_revoked: Callable[[str], bool]
    ) -> None:
        self._key = hmac.digest(secret, b"tokens", "sha256")
        self._now = now
        self._is_revoked = is_revoked

    def issue(self, name: str, role: Role, seconds: int) -> tuple[str, Identity]:
        """Sign a token that is good from now on for `seconds`."""
        assert role is not Role.ANYONE, "everybody is that already"
        issued_at = int(self._now())
        identity = Identity(name, role, secrets.token_hex(8), issued_at + seconds)
        claims = {
            "iss": _ISSUER,
            "sub": name,
            "role": role.name.lower(),
            "jti": identity.token_id,
            "iat": issued_at,
            "exp": identity.expires_at,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM), identity

    def read(self, token: str) -> Identity:
        """Whose token it is. Raises TokenInvalidError."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise TokenInvalidError("this is no token of this box")
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                # By the clock that is handed in, below.
                options={
                    "require": ["sub", "role", "jti", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            identity = Identity(
                str(claims["sub"]),
                parse_role(str(claims["role"])),
                str(claims["jti"]),
                int(claims["exp"]),
            )
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise TokenInvalidError("this is no token of this box") from error
        if self._now() >= identity.expires_at:
            raise TokenInvalidError("this token has expired")
        if self._is_revoked(identity.token_id):
            raise TokenInvalidError("this token was revoked")
        return identity
