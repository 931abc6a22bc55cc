"""A blob as the experiment `client2` downloads it: in chunks that each have a digest of their own.

A small blob is a single chunk at the registry's own URL. For a larger one the registry is asked for
`chunksums`: lines of a digest and an inclusive range, and the URL of them all in Content-Location.
Every chunk is a bare ranged GET, redirects followed, and any 2xx will do. The registry itself is
asked with a token signed by the user's key, every time.
"""

import base64
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.demo.conversation import Conversation, Identity, PullError
from appliance.demo.deposit import Keeping
from appliance.demo.download import BlobResult, Progress
from appliance.demo.habits import Habits
from appliance.demo.lifeline import Lifeline
from appliance.demo.parts import Part
from appliance.demo.targets import Targets
from appliance.demo.tokens import sign_token_request
from appliance.demo.transfer import Means, Tally, fetch_part
from appliance.demo.urls import Url, WireError, parse_url
from appliance.protocol.digest import Digest, parse_digest
from appliance.protocol.errors import DigestInvalid
from appliance.protocol.manifest import Descriptor


@dataclass(frozen=True, slots=True)
class Chunk:
    """The bytes from `start` up to, not including, `stop`, and their digest."""

    digest: Digest
    start: int
    stop: int


def make_token(identity: Identity) -> str:
    """The token that this client sends with everything that it asks of the registry."""
    url = f"https://ollama.com?ts={int(identity.now())}"
    return f"{base64.b64encode(url.encode()).decode()}:{sign_token_request(identity.key, url)}"


def parse_chunksums(text: str, size_bytes: int) -> list[Chunk]:
    """Read `sha256:<hex> <first>-<last>` pairs. Raises PullError unless they cover the blob."""
    words = text.split()
    chunks, position = [], 0
    try:
        for digest, span in zip(words[::2], words[1::2], strict=True):
            first, last = (int(each) for each in span.split("-"))
            chunks.append(Chunk(parse_digest(digest), first, last + 1))
            if first != position or last < first:
                raise PullError("chunksums: not contiguous")
            position = last + 1
    except (ValueError, DigestInvalid) as error:
        raise PullError("chunksums: malformed") from error
    if position != size_bytes:
        raise PullError("incomplete")
    return chunks


class ChunkedDownload:
    """The download of one blob. Use once. Nothing that fails is asked for again."""

    def __init__(
        self,
        base: Url,
        path: Path,
        conversation: Conversation,
        targets: Targets,
        habits: Habits,
        lifeline: Lifeline,
        progress: Progress,
    ) -> None:
        self._base = base
        self._path = path
        self._conversation = conversation
        self._habits = habits
        self._lifeline = lifeline
        self._progress = progress
        self._means = Means(targets, habits, lifeline, _unheard, minds_status=True)

    def run(self, descriptor: Descriptor) -> BlobResult:
        """Download and verify. Raises PullError, InterruptedPullError."""
        began = time.monotonic()
        url, chunks = self._find_chunks(descriptor)
        partial = self._path.with_name(f"{self._path.name}-chunks")
        partial.unlink(missing_ok=True)
        with Keeping(partial, descriptor.size_bytes) as deposit:
            jobs = [self._job(number, each, url, deposit) for number, each in enumerate(chunks)]
            tallies = self._lifeline.run_all(jobs, self._habits.parts_at_once, "chunk")
        partial.replace(self._path)
        self._progress(descriptor.digest, descriptor.size_bytes, descriptor.size_bytes)
        return BlobResult(
            descriptor.digest,
            descriptor.size_bytes,
            seconds=time.monotonic() - began,
            received_bytes=sum(each.received_bytes for each in tallies),
            longest_silence_seconds=max(
                (each.longest_silence_seconds for each in tallies), default=0.0
            ),
            parts=len(chunks),
        )

    def _find_chunks(self, descriptor: Descriptor) -> tuple[Url, list[Chunk]]:
        digest, size_bytes = descriptor.digest, descriptor.size_bytes
        if size_bytes < self._habits.chunked_from_bytes:
            whole = [Chunk(digest, 0, size_bytes)] if size_bytes else []
            return parse_url(f"{self._base}/blobs/{digest}"), whole
        url = parse_url(f"{self._base}/chunksums/{digest}")
        with self._conversation.ask("GET", url, _anywhere) as answer:
            location = answer.field("Content-Location")
            if answer.status != 200 or location is None:
                raise PullError(f"unexpected status code {answer.status}")
            text = answer.read().decode("ascii", "replace")
        return answer.url.join(location), parse_chunksums(text, size_bytes)

    def _job(self, number: int, chunk: Chunk, url: Url, deposit: Keeping) -> Callable[[], Tally]:
        def fetch() -> Tally:
            self._lifeline.check()
            tally = Tally()
            part = Part(number, chunk.start, chunk.stop - chunk.start)
            try:
                fetch_part(url, part, deposit, tally, self._means)
            except WireError as error:
                self._lifeline.check()
                raise PullError(str(error)) from error
            content = os.pread(deposit.descriptor, part.size_bytes, part.offset_bytes)
            found = hashlib.sha256(content).hexdigest()
            if found != chunk.digest.encoded:
                raise PullError(f"digest mismatch: want {chunk.digest}, got sha256:{found}")
            return tally

        return fetch


def _unheard() -> None:
    """Tell nobody."""


def _anywhere(target: Url) -> bool:
    return True
