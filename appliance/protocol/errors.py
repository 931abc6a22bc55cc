"""The verdicts a registry's wire expects, each with its status and its JSON body.

A verdict is an answer, not an accident: it keeps the name the OCI distribution
specification gives its code, and renders itself. Faults (something is broken) live
in the rooms where things can break and end in `Error`.
"""

import json
from typing import ClassVar

JSON_TYPE = "application/json"


class Verdict(Exception):
    """An answer other than success. Subclasses fix `status` and the OCI `code`."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def body(self) -> bytes:
        """The OCI error document (distribution-spec, "Error Codes")."""
        return json.dumps({"errors": [{"code": self.code, "message": self.message}]}).encode()

    def fields(self) -> dict[str, str]:
        """Response fields beside the body's own."""
        return {"Content-Type": JSON_TYPE}


class RequestInvalid(Verdict):
    """The request cannot be read in one way only, or not at all."""

    status, code = 400, "UNSUPPORTED"


class NameInvalid(Verdict):
    """A repository or tag outside Ollama's grammar."""

    status, code = 400, "NAME_INVALID"


class DigestInvalid(Verdict):
    """Not `sha256:` and 64 hexadecimal digits."""

    status, code = 400, "DIGEST_INVALID"


class Denied(Verdict):
    """Known, and not for this client."""

    status, code = 403, "DENIED"


class ManifestUnknown(Verdict):
    """No such tag or manifest in this repository."""

    status, code = 404, "MANIFEST_UNKNOWN"


class BlobUnknown(Verdict):
    """No such blob in this repository."""

    status, code = 404, "BLOB_UNKNOWN"


class MethodNotAllowed(Verdict):
    """A method this door does not take."""

    status, code = 405, "UNSUPPORTED"


class RequestTooSlow(Verdict):
    """The request's head did not come in time (RFC 9110 §15.5.9)."""

    status, code = 408, "UNSUPPORTED"


class RangeNotSatisfiable(Verdict):
    """The range is well formed and none of its bytes exist (RFC 9110 §15.5.17)."""

    status, code = 416, "RANGE_INVALID"

    def __init__(self, complete_length: int) -> None:
        super().__init__(f"the range lies outside a blob of {complete_length} bytes")
        self.content_range = f"bytes */{complete_length}"

    def fields(self) -> dict[str, str]:
        return super().fields() | {"Content-Range": self.content_range}


class Misdirected(Verdict):
    """This box does not speak for the name that was asked (RFC 9110 §15.5.20)."""

    status, code = 421, "UNSUPPORTED"


class FieldsTooLarge(Verdict):
    """The request's head is larger than we read (RFC 6585 §5)."""

    status, code = 431, "UNSUPPORTED"


class BadGateway(Verdict):
    """The origin answered, and not with what was asked for."""

    status, code = 502, "UNKNOWN"


class Unavailable(Verdict):
    """Neither the store nor the origin can answer now."""

    status, code = 503, "UNAVAILABLE"


class LoopDetected(Verdict):
    """Our own request came back to us (RFC 5842 §7.2)."""

    status, code = 508, "UNKNOWN"
