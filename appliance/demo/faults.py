"""What the scripted registry does wrong, and in which of its known manners it answers: as data.

Both may be changed while it runs; every request looks afresh.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from appliance.protocol.digest import Digest

ALWAYS = 1_000_000_000


class Break(StrEnum):
    """How a blob's body ends early."""

    RESET = "reset"  # A TCP reset, as from a failing link.
    TRUNCATE = "truncate"  # An orderly close, as from a restarted server.
    STALL = "stall"  # Nothing more, and the connection stays.


@dataclass(slots=True)
class BodyFault:
    """Break the next `times` bodies that reach it after `after_bytes` bytes."""

    kind: Break
    after_bytes: int
    times: int = ALWAYS

    def strikes(self) -> bool:
        """Use up one of the times, if any is left."""
        if self.times <= 0:
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class Faults:
    """What is broken now. A fresh one breaks nothing."""

    body: BodyFault | None = None
    flipped: set[Digest] = field(default_factory=set)  # Blobs sent with one bit wrong.
    is_portal: bool = False  # A captive portal answers everything: 200 and an HTML page.
    manifest_status: int | None = None
    blob_status: int | None = None  # What the registry answers to blob requests.
    cdn_status: int | None = None
    retry_after_seconds: int | None = None  # Said with `cdn_status`.
    range_shift_bytes: int = 0  # Content-Range names a span this far from the one sent.


@dataclass(slots=True)
class Manners:
    """Answers that are all right, and differ between registries or years."""

    answers_manifest_head: bool = True  # False: 405, as in early 2025.
    gzips_manifests: bool = False  # To those who accept it, as the CDN in front may.
    sends_blobs_itself: bool = False  # 200 and 206 without Location, as any plain registry.
    redirects_blob_head: bool = False  # HEAD of a blob leads to the CDN, as in 2024.
