"""One blob as Ollama's client downloads it: its size, its direct URL, then parts side by side.

*Theory of operation.* HEAD tells the size. An un-ranged GET tells where the bytes are, by its
Location; its body is never read. Each part is then a ranged GET of its own on that URL, whose
status nobody looks at. A part that ends early goes on where it ended; one that breaks or stalls
starts its attempt again. What is on disk is recorded whenever an attempt ends, so that a later pull
resumes.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.demo.conversation import Conversation, DeadlineError, PullError
from appliance.demo.deposit import Comparing, Deposit, Keeping
from appliance.demo.habits import DIRECT_URL_SECONDS, TRIES_MAX, Habits
from appliance.demo.lifeline import Lifeline
from appliance.demo.parts import Part, PartFiles, plan_parts
from appliance.demo.targets import Targets
from appliance.demo.transfer import Means, Tally, fetch_part
from appliance.demo.urls import Url, WireError
from appliance.demo.wire import StalledError, UnexpectedEofError
from appliance.protocol.digest import Digest

BACKOFF_STEP_SECONDS = 0.01  # The n-th retry for a direct URL waits n² of these,
BACKOFF_SECONDS_MAX = 10.0  # but no longer than this.

type Progress = Callable[[Digest, int, int], None]
"""Told a blob, the bytes of it that are there, and how many there will be; by any thread."""


@dataclass(frozen=True, slots=True)
class BlobResult:
    """What downloading one blob took. `received_bytes` counts what was thrown away, too."""

    digest: Digest
    size_bytes: int
    seconds: float = 0.0
    received_bytes: int = 0
    longest_silence_seconds: float = 0.0
    parts: int = 0
    retries: int = 0
    stalls: int = 0
    was_present: bool = False
    is_verified: bool = False


class Download:
    """The download of one blob. Use once."""

    def __init__(
        self,
        url: Url,
        digest: Digest,
        path: Path,
        conversation: Conversation,
        targets: Targets,
        habits: Habits,
        lifeline: Lifeline,
        progress: Progress,
        original: Path | None = None,
    ) -> None:
        self._url = url
        self._digest = digest
        self._files = PartFiles(path)
        self._conversation = conversation
        self._habits = habits
        self._lifeline = lifeline
        self._progress = progress
        self._original = original
        self._targets = targets
        self._tallies: list[Tally] = []
        self._parts: list[Part] = []
        self._means = Means(self._targets, habits, lifeline, self._tell)

    def run(self) -> BlobResult:
        """Download the blob under its name, unverified; or compare it with its original.

        Raises PullError, InterruptedPullError.
        """
        began = time.monotonic()
        self._parts = self._files.read_all() or self._plan()
        total_bytes = sum(each.size_bytes for each in self._parts)
        self._tallies = [Tally() for _ in self._parts]
        with self._open_deposit(total_bytes) as deposit:
            direct = self._find_direct_url()
            self._targets.check(direct)
            self._fetch_parts(direct, deposit)
        if self._original is None:
            self._files.finish(self._parts)
        else:
            self._files.forget(self._parts)
        return self._result(total_bytes, time.monotonic() - began)

    def _open_deposit(self, total_bytes: int) -> Deposit:
        if self._original is None:
            return Keeping(self._files.data, total_bytes)
        return Comparing(self._original, total_bytes)

    def _result(self, total_bytes: int, seconds: float) -> BlobResult:
        return BlobResult(
            digest=self._digest,
            size_bytes=total_bytes,
            seconds=seconds,
            received_bytes=sum(each.received_bytes for each in self._tallies),
            longest_silence_seconds=max(
                (each.longest_silence_seconds for each in self._tallies), default=0.0
            ),
            parts=len(self._parts),
            retries=sum(each.retries for each in self._tallies),
            stalls=sum(each.stalls for each in self._tallies),
            is_verified=self._original is not None,
        )

    def _plan(self) -> list[Part]:
        with self._conversation.ask("HEAD", self._url, self._targets.may_follow) as answer:
            length = answer.field("Content-Length") or ""
        if self._habits.is_newest and not length.isdecimal():
            raise PullError(f'invalid Content-Length "{length}"')
        total_bytes = int(length) if length.isdecimal() else 0
        habits = self._habits
        parts = plan_parts(
            total_bytes, habits.part_bytes_min, habits.part_bytes_max, habits.part_count
        )
        for part in parts:
            self._files.write(part)
        return parts

    def _find_direct_url(self) -> Url:
        """Where the bytes are; failures are retried until 30 seconds are over."""
        if not self._habits.direct_statuses:
            self._means = replace(
                self._means, fields=self._conversation.part_fields(), minds_status=True
            )
            return self._url
        deadline = time.monotonic() + self._habits.watched(DIRECT_URL_SECONDS)
        number = 0
        while True:
            try:
                return self._ask_direct_url(deadline)
            except _FatalError as error:
                raise PullError(str(error)) from error
            except DeadlineError:
                raise
            except (PullError, WireError) as error:
                number += 1
                delay_seconds = min(number**2 * BACKOFF_STEP_SECONDS, BACKOFF_SECONDS_MAX)
                delay_seconds *= random.uniform(0.5, 1.5)  # noqa: S311  # Spreads clients; no secret.
                delay_seconds = self._habits.paced(delay_seconds)
                if time.monotonic() + delay_seconds >= deadline:
                    raise DeadlineError from error
                self._lifeline.sleep(delay_seconds)

    def _ask_direct_url(self, deadline: float) -> Url:
        def may_follow(target: Url) -> bool:
            return target.hostname == self._url.hostname

        with self._conversation.ask("GET", self._url, may_follow, deadline=deadline) as answer:
            if answer.status not in self._habits.direct_statuses:
                raise _FatalError(f"unexpected status code {answer.status}")
            location = answer.field("Location")
            if location is None:
                raise _FatalError("http: no Location header in response")
            return answer.url.join(location)

    def _fetch_parts(self, direct: Url, deposit: Deposit) -> None:
        missing = [each for each in self._parts if not each.is_complete]
        jobs = [lambda each=each: self._fetch(each, direct, deposit) for each in missing]
        self._lifeline.run_all(jobs, self._habits.parts_at_once, "part")

    def _fetch(self, part: Part, direct: Url, deposit: Deposit) -> None:
        tally = self._tallies[part.number]
        tries, last = 0, WireError("")
        while tries < TRIES_MAX:
            try:
                self._attempt(part, direct, deposit, tally)
            except StalledError:
                tally.stalls += 1  # Not counted as a try, and never given up.
            except WireError as error:
                self._lifeline.sleep(self._habits.paced(2.0**tries))
                tries, last = tries + 1, error
                tally.retries += 1
            else:
                return
        raise PullError(f"max retries exceeded: {last}")

    def _attempt(self, part: Part, direct: Url, deposit: Deposit, tally: Tally) -> None:
        self._lifeline.check()
        try:
            fetch_part(direct, part, deposit, tally, self._means)
        except BaseException as error:
            if isinstance(error, UnexpectedEofError) or self._lifeline.is_cut:
                self._keep(part, tally)
            tally.running_bytes = 0  # What is not kept is fetched again.
            raise
        self._keep(part, tally)

    def _keep(self, part: Part, tally: Tally) -> None:
        part.completed_bytes += tally.running_bytes
        tally.running_bytes = 0
        self._files.write(part)

    def _tell(self) -> None:
        here = sum(each.completed_bytes for each in self._parts)
        here += sum(each.running_bytes for each in self._tallies)
        self._progress(self._digest, here, sum(each.size_bytes for each in self._parts))


class _FatalError(Exception):
    """An answer that no retry mends."""
