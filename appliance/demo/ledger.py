"""Everything that reached the scripted registry and its CDN, and every body byte they sent."""

from collections import Counter
from dataclasses import dataclass

from appliance.protocol.digest import Digest


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came: `target` byte for byte, fields in their order."""

    site: str
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body_bytes: int = 0

    def field(self, name: str) -> str | None:
        """The value of the first field called `name`, in any case."""
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)


class Ledger:
    """Counts for all sites that share it."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.blob_bytes: Counter[Digest] = Counter()
        self.agent_bytes: Counter[str] = Counter()
        """The same bytes, by the User-Agent that asked for them."""

    @property
    def upstream_bytes(self) -> int:
        """Blob body bytes handed to the network, of all blobs."""
        return self.blob_bytes.total()

    def note_sent(self, digest: Digest, agent: str, size_bytes: int) -> None:
        """Count body bytes of a blob as they go to whoever calls itself `agent`."""
        self.blob_bytes[digest] += size_bytes
        self.agent_bytes[agent] += size_bytes

    def count(self, method: str = "", containing: str = "", site: str = "") -> int:
        """The number of requests with this method, site and text in the target; all by default."""
        return len(self.requests(method, containing, site))

    def requests(self, method: str = "", containing: str = "", site: str = "") -> list[Asked]:
        """The requests that match, oldest first."""
        return [
            each
            for each in self.asked
            if each.method.startswith(method) and containing in each.target and site in each.site
        ]
