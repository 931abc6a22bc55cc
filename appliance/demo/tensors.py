"""A model of tensors, as Ollama's transfer package downloads it: whole blobs, many side by side.

*Theory of operation.* Sizes are the manifest's; no HEAD asks for them. Each blob is first
*resolved*: an un-ranged GET, whose body is read to its end and thrown away. A 200 means that the
bytes are at that very URL, so they come a second time; a redirect to another host says where they
are. Then the blob is fetched whole. A body that is slower than a tenth of the median of those
finished is dropped and asked for again, three times for free.

Until 0.33 this path knows no proxy, and nothing ends a silence; the newest do both.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from appliance.demo.conversation import Conversation, Dials, PullError
from appliance.demo.download import BlobResult, Progress
from appliance.demo.habits import TRIES_MAX, Habits
from appliance.demo.lifeline import Lifeline
from appliance.demo.targets import Targets
from appliance.demo.transfer import BUFFER_SIZE_BYTES
from appliance.demo.urls import Url, WireError, parse_url
from appliance.demo.wire import Connection, StalledError
from appliance.protocol.manifest import Descriptor

USER_AGENT = "ollama-transfer/1.0"
WORKERS = 64
STALL_SECONDS = 10.0
REDIRECTS_MAX = 10

SLOW_SHARE = 0.1  # Of the median rate: slower is too slow,
SLOW_AFTER_BLOBS = 5  # but not with fewer to compare with.
SLOW_FREE = 3  # So many are no tries.


class TensorPull:
    """The download of one model's blobs. Use once.

    `dialer` reaches the registry, `targets` says where else a blob may be.
    """

    def __init__(
        self,
        base: Url,
        path_of: Callable[[Descriptor], Path],
        dialer: Dials,
        targets: Targets,
        habits: Habits,
        lifeline: Lifeline,
        progress: Progress,
    ) -> None:
        self._base = base
        self._path_of = path_of
        self._dialer = dialer
        self._targets = targets
        self._habits = habits
        self._lifeline = lifeline
        self._progress = progress
        self._rates: list[float] = []  # Bytes a second of the blobs that are finished.
        self._bodies = threading.BoundedSemaphore(habits.bodies_at_once)
        self._own = threading.local()
        self._open = ExitStack()

    def run(self, descriptors: Sequence[Descriptor]) -> list[BlobResult]:
        """Download them all, each verified. Raises PullError, InterruptedPullError."""
        distinct = {each.digest: each for each in descriptors}.values()
        with self._open:
            jobs = [partial(self._fetch, each) for each in distinct]
            return self._lifeline.run_all(jobs, WORKERS, "tensor")

    def _fetch(self, descriptor: Descriptor) -> BlobResult:
        path = self._path_of(descriptor)
        result = BlobResult(descriptor.digest, descriptor.size_bytes)
        if path.exists() and path.stat().st_size == descriptor.size_bytes:
            self._progress(descriptor.digest, descriptor.size_bytes, descriptor.size_bytes)
            return replace(result, was_present=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        began, tries, slow = time.monotonic(), 0, 0
        body = _Body(path, descriptor, self._habits)
        while True:
            try:
                self._attempt(descriptor, body)
            except _SlowError as error:
                slow += 1
                tries += slow > SLOW_FREE
                last: Exception = error
            except (PullError, WireError) as error:
                tries += 1
                last = error
            else:
                seconds = time.monotonic() - began
                return replace(body.result(result), seconds=seconds, retries=tries + slow)
            if tries == TRIES_MAX:
                raise PullError(f"max retries exceeded: {last}") from last
            self._lifeline.sleep(self._habits.paced(2.0**tries))

    def _attempt(self, descriptor: Descriptor, body: "_Body") -> None:
        self._lifeline.check()
        talk = self._conversation()
        url = parse_url(f"{self._base}/blobs/{descriptor.digest}")
        try:
            place = self._resolve(talk, url, body)
            with self._bodies:
                rate = self._receive(talk, place, body)
        except StalledError:
            body.stalls += 1
            raise
        body.finish()
        self._rates.append(rate)

    def _conversation(self) -> Conversation:
        """This thread's own, with the connections that it keeps."""
        talk: Conversation | None = getattr(self._own, "talk", None)
        if talk is None:
            dial = _Exempting(self._base, self._dialer, self._targets)
            talk = Conversation(dial, USER_AGENT, self._lifeline)
            self._own.talk = self._open.enter_context(talk)
        return talk

    def _resolve(self, talk: Conversation, url: Url, body: "_Body") -> Url:
        for _ in range(REDIRECTS_MAX):
            with talk.ask("GET", url, _never, self._deadline()) as answer:
                body.drain(answer.receive_into)
            if answer.status == 200:
                return url
            location = answer.field("Location")
            if answer.status not in (301, 302, 307) or location is None:
                raise PullError(f"status {answer.status}")
            target = url.join(location)
            if target.authority != url.authority:
                self._targets.check(target)
                return target
            url = target
        raise PullError("too many redirects")

    def _receive(self, talk: Conversation, url: Url, body: "_Body") -> float:
        """Fetch the blob to its end; returns the rate in bytes a second. Raises _SlowError."""

        def may_follow(target: Url) -> bool:
            self._targets.check(target)
            return True

        began, fields = time.monotonic(), body.range_fields()
        with talk.ask("GET", url, may_follow, self._deadline(), **fields) as answer:
            if answer.status not in (200, 206) or (answer.status == 206 and not fields):
                raise PullError(f"status {answer.status}")
            received = 0
            with body.writing(starts_over=answer.status == 200) as write:
                while count := answer.receive_into(body.buffer):
                    write(count)
                    received += count
                    self._progress(body.descriptor.digest, body.here, body.descriptor.size_bytes)
                    self._compare(received, time.monotonic() - began)
        return received / max(time.monotonic() - began, 1e-9)

    def _compare(self, received_bytes: int, seconds: float) -> None:
        is_early = seconds < self._habits.slow_after_seconds
        if is_early or len(self._rates) < SLOW_AFTER_BLOBS:
            return
        if received_bytes / seconds < SLOW_SHARE * median(self._rates):
            raise _SlowError

    def _deadline(self) -> float | None:
        """Until when the next bytes must come; each read of them has as long anew."""
        if not self._habits.is_newest:
            return None
        return time.monotonic() + self._habits.watched(STALL_SECONDS)


class _Body:
    """One blob's file while it comes, and what its attempts took together."""

    def __init__(self, path: Path, descriptor: Descriptor, habits: Habits) -> None:
        self.descriptor = descriptor
        self.buffer = memoryview(bytearray(BUFFER_SIZE_BYTES))
        self.here = 0
        self.stalls = 0
        self._path = path
        self._partial = path.with_name(f"{path.name}.tmp")
        self._resumed_from_bytes = habits.resumed_from_bytes
        self._received_bytes = 0
        self._hasher = hashlib.sha256()

    def drain(self, receive: Callable[[memoryview], int]) -> None:
        while count := receive(self.buffer):
            self._received_bytes += count

    def range_fields(self) -> dict[str, str]:
        """What asks for the rest only, where enough is on disk."""
        size_bytes = self._partial.stat().st_size if self._partial.exists() else 0
        is_enough = self._resumed_from_bytes <= size_bytes < self.descriptor.size_bytes
        self.here = size_bytes if is_enough else 0
        return {"Range": f"bytes={self.here}-"} if is_enough else {}

    @contextmanager
    def writing(self, *, starts_over: bool) -> Iterator[Callable[[int], None]]:
        """Append what comes to the file; hashed on the way."""
        self.here = 0 if starts_over else self.here
        self._hasher = hashlib.sha256()
        if self.here:
            self._hasher.update(self._partial.read_bytes())
        with self._partial.open("ab" if self.here else "wb") as file:

            def write(count: int) -> None:
                piece = self.buffer[:count]
                file.write(piece)
                self._hasher.update(piece)
                self.here += count
                self._received_bytes += count

            yield write

    def finish(self) -> None:
        """Give the file its name. Raises PullError where it is not what it should be."""
        found, wanted = self._hasher.hexdigest(), self.descriptor
        if self.here != wanted.size_bytes or found != wanted.digest.encoded:
            self._partial.unlink()
            raise PullError(f"digest mismatch: want {wanted.digest}, got sha256:{found}")
        self._partial.replace(self._path)

    def result(self, planned: BlobResult) -> BlobResult:
        return replace(
            planned,
            received_bytes=self._received_bytes,
            parts=1,
            stalls=self.stalls,
            is_verified=True,
        )


class _Exempting:
    """Dials the registry as it is, and everything else as the rules say."""

    def __init__(self, registry: Url, dialer: Dials, targets: Targets) -> None:
        self._registry = registry
        self._dialer = dialer
        self._targets = targets

    def dial(self, url: Url, /) -> Connection:
        is_own = url.authority == self._registry.authority
        return (self._dialer if is_own else self._targets).dial(url)


class _SlowError(Exception):
    """Slower than the others by far."""

    def __init__(self) -> None:
        super().__init__("download too slow")


def _never(target: Url) -> bool:
    return False
