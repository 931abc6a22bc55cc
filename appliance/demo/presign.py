"""Presigned URLs in the manner of S3: whoever holds one may read one blob for a while.

The signature is over the raw request target, so a cache that decodes and encodes the URL on its
way gets a 403, as it would from the real CDN. The query holds the characters that tempt it: %2F,
%20, `+` and `~`.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime

from appliance.protocol.digest import Digest

LIFETIME_SECONDS = 86400  # What the real registry gave in 2025.

_SIGNATURE = "&X-Amz-Signature="
_PATH = re.compile(r"/ollama/docker/registry/v2/blobs/sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})/data")
_TIMES = re.compile(
    r"X-Amz-Credential=demo([0-9]+)%2F.*&X-Amz-Date=([0-9TZ]+)&X-Amz-Expires=([0-9]+)&"
)
_INSTANT = "%Y%m%dT%H%M%SZ"


class Forbidden(Exception):
    """The CDN's 403. `code` is S3's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def document(self) -> bytes:
        """The XML that S3 answers with."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f"<Error><Code>{self.code}</Code><Message>{self}</Message></Error>"
        ).encode()


class Presigner:
    """Signs and checks. `now` tells wall seconds; `secret` is shared by registry and CDN."""

    def __init__(
        self,
        secret: bytes,
        now: Callable[[], float],
        lifetime_seconds: int = LIFETIME_SECONDS,
    ) -> None:
        self._secret = secret
        self._now = now
        self._serial = 0
        self._expired_serial = 0
        self.lifetime_seconds = lifetime_seconds

    def sign(self, authority: str, digest: Digest) -> str:
        """The request target that reads `digest` from the CDN at `authority`."""
        self._serial += 1
        issued = datetime.fromtimestamp(self._now(), UTC).strftime(_INSTANT)
        encoded = digest.encoded
        unsigned = (
            f"/ollama/docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data"
            "?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            f"&X-Amz-Credential=demo{self._serial}%2F{issued[:8]}%2Fauto%2Fs3%2Faws4_request"
            f"&X-Amz-Date={issued}&X-Amz-Expires={self.lifetime_seconds}&X-Amz-SignedHeaders=host"
            "&response-content-disposition=attachment%3B%20filename%3D~data+of%2Fblob&x-id=Get~Object"
        )
        return unsigned + _SIGNATURE + self._signature(authority, unsigned)

    def check(self, authority: str, target: str) -> Digest:
        """Return the blob that `target` may read. Raises Forbidden."""
        unsigned, _, signature = target.rpartition(_SIGNATURE)
        path, times = _PATH.match(unsigned), _TIMES.search(unsigned)
        expected = self._signature(authority, unsigned)
        if not (path and times and hmac.compare_digest(signature.encode(), expected.encode())):
            raise Forbidden("SignatureDoesNotMatch", "The signature is not of this request target.")
        issued = datetime.strptime(times[2], _INSTANT).replace(tzinfo=UTC).timestamp()
        if int(times[1]) <= self._expired_serial or self._now() >= issued + int(times[3]):
            raise Forbidden("ExpiredRequest", "Request has expired")
        return Digest(path[2])

    def expire_now(self) -> None:
        """Expire every URL signed so far."""
        self._expired_serial = self._serial

    def _signature(self, authority: str, unsigned: str) -> str:
        text = f"{authority}\n{unsigned}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()
