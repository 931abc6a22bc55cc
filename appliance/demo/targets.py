"""Where a client may be sent on a pull, and how it gets there: what the newest refuse.

They look three times: at the `Location` of a blob, at every redirect that follows, and at the
address that is dialled in the end. All of it only where the registry itself is reached by https.
"""

from appliance.demo.conversation import PullError
from appliance.demo.habits import Habits, is_public
from appliance.demo.urls import Url, WireError
from appliance.demo.wire import Connection, Dialer

# A registry and its website may send each other anything that is no blob.
_FRIENDS = ("ollama.com", "ollama.ai", "hf.co", "huggingface.co")


class Targets:
    """The rules of one client for one registry."""

    def __init__(self, dialer: Dialer, habits: Habits, registry: Url) -> None:
        self._dialer = dialer
        self._stays_on_host = habits.stays_on_host
        self._is_guarded = habits.is_newest and registry.scheme == "https"
        self._registry = registry

    def may_follow(self, target: Url) -> bool:
        """Whether a redirect of a manifest or a HEAD is followed. Raises PullError."""
        hostname = target.hostname
        is_friend = any(hostname == each or hostname.endswith(f".{each}") for each in _FRIENDS)
        if self._stays_on_host and target.authority != self._registry.authority and not is_friend:
            raise PullError("blocked redirect to a different host")
        return True

    def check(self, target: Url) -> None:
        """Raise PullError for a blob URL that the client refuses."""
        if not self._is_guarded:
            return
        if target.scheme != "https":
            raise PullError(f"redirect target not allowed: {target.scheme} after https")
        for address in self._addresses(target):
            if not is_public(address):
                where = f"{target.hostname} resolves to non-public {address}"
                raise PullError(f"redirect target not allowed: {where}")

    def dial(self, target: Url) -> Connection:
        """Connect to the server of a blob URL. Raises PullError, WireError."""
        self.check(target)
        return self._dialer.dial(target, is_guarded=self._is_guarded)

    def _addresses(self, target: Url) -> list[str]:
        try:
            return self._dialer.addresses(target.hostname)
        except WireError:
            if self._dialer.proxies(target):
                return []  # A name that only the proxy knows is the proxy's to resolve.
            raise
