"""Who was here lately: lends the tensor path the version that its Ollama said elsewhere.

The tensor path says a version of its own. Its Ollama has asked for the manifest a moment before,
from the same address, and said its true one.
"""

from dataclasses import replace

from appliance.protocol.clients import Client, Version
from appliance.registry.requests import Request

VISIT_SECONDS = 3600.0  # A tensor model may take that long; the next manifest renews it.
VISITORS_MAX = 10_000  # A megabyte; the one seen first gives way.


class Visitors:
    """The version that an Ollama at each address said last. Instants in seconds since the epoch."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Version | None, float]] = {}

    def identify(self, request: Request, now: float) -> Client:
        """Whoever asks, remembered if it says its version, completed if it does not."""
        client = request.client
        if client.is_tensor:
            version, seen_at = self._seen.get(request.client_address, (None, now))
            return replace(client, version=version) if now - seen_at < VISIT_SECONDS else client
        if client.is_ollama and not client.follows_redirects:
            self._seen.pop(request.client_address, None)
            self._seen[request.client_address] = (client.version, now)
            if len(self._seen) > VISITORS_MAX:
                del self._seen[next(iter(self._seen))]
        return client
