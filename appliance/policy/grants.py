"""Grants: a signed, expiring capability for one blob, carried in its URL.

A digest is no secret and no permission. Whoever got a Location from the box was entitled to
the blob at that moment, so the Location itself is the permission, as the origin's presigned URLs
are. It names the pull it belongs to, so that the bytes can be counted to the right model.
"""

import hmac
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

from appliance.protocol.digest import Digest
from appliance.protocol.errors import Denied, NameInvalid
from appliance.protocol.reference import Repository, parse_repository

GRANT_SECONDS = 24 * 3600  # What the origin's own presigned URLs live; a slow line needs hours.
# A pull that still moves may finish: an expired grant used this lately is honoured. Ollama's
# longest pause between two requests of one part is 32 seconds, its CLI's users' a coffee.
ACTIVE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Grant:
    """One blob for one pull of `repository`, until `expires_at` (seconds since the epoch)."""

    digest: Digest
    repository: Repository
    expires_at: int


def format_grant(secret: bytes, grant: Grant) -> str:
    """The query string that carries `grant`."""
    return urlencode(
        {
            "expires": grant.expires_at,
            "model": str(grant.repository),
            "signature": _sign(secret, grant),
        },
        safe="/",
    )


def read_grant(secret: bytes, digest: Digest, query: str) -> Grant:
    """The grant for `digest` in a query string.

    Raises:
        Denied: there is none, or it is not of our making. Expiry is the caller's to check.
    """
    try:
        fields = parse_qs(query, strict_parsing=True, max_num_fields=8)
        (expires,), (model,), (signature,) = fields["expires"], fields["model"], fields["signature"]
        grant = Grant(digest, parse_repository(model), int(expires))
        is_spelt_as_ours = expires == str(grant.expires_at)
        signed = signature.encode("ascii")
    except (ValueError, KeyError, NameInvalid) as error:
        raise Denied("this URL carries no grant for the blob") from error
    if not (is_spelt_as_ours and hmac.compare_digest(signed, _sign(secret, grant).encode())):
        raise Denied("this URL's grant is not of this box")
    return grant


def is_valid(grant: Grant, now: float, *, used_at: float | None) -> bool:
    """Whether `grant` opens its blob at `now`; `used_at` is when it last did, None if never."""
    if now < grant.expires_at:
        return True
    return used_at is not None and now - used_at < ACTIVE_SECONDS


def _sign(secret: bytes, grant: Grant) -> str:
    text = f"{grant.digest}\n{grant.repository}\n{grant.expires_at}"
    return hmac.digest(secret, text.encode(), "sha256").hex()
