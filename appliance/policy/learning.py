"""What clients accept, learnt from what they do with the Locations they are given.

Theory of operation. Ollama opens its parts within milliseconds of a Location that it accepts, and
gives the pull up at once over one that it does not; it never says which. So each Location is
remembered by its grant, and the next time the same client asks for anything it is looked at: no
part came in PART_SECONDS, or none came and it asks for the same blob again. Then that kind of
Location is *missed* by that client (address, version) for LESSON_SECONDS, and the next kind is
chosen: a wrong guess costs one failed pull and no second. One part that arrives, however late,
clears it.

Who cancels a pull in the milliseconds between a Location and its first part teaches us something
false. It concerns one kind, for one version at one address; it changes the order in which kinds
are offered and never refuses a pull; it ends by itself, by a part, or by the operator's word.
Nothing is ever concluded about a version as such.

The tensor path takes part only in what others learnt at its address: it asks for many Locations
first and opens bodies when it has a hand free.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.policy.delivery import Delivery
from appliance.policy.grants import Grant
from appliance.protocol.clients import Version
from appliance.protocol.digest import Digest

PART_SECONDS = 5.0  # A client that accepts opens its parts in milliseconds; a loaded one, in these.
AGAIN_SECONDS = 1.0  # Below this it may be another machine behind the same address.
LESSON_SECONDS = 7 * 24 * 3600  # By then the machine was updated, or its network mended.
LESSONS_MAX = 10_000  # A few megabytes; the oldest lesson gives way.
GIVEN_MAX = 10_000  # Locations whose parts may still come: a class of 200, 50 blobs each.


@dataclass(frozen=True, slots=True)
class Subject:
    """One version at one address, and a kind of Location that it was given."""

    client_address: str
    version: Version | None
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class _Wait:
    digest: Digest
    since: float


class Learning:
    """Which kinds of Location were missed by whom. Instants in seconds since the epoch."""

    def __init__(self, lessons: Mapping[Subject, float] | None = None) -> None:
        """`lessons` as an earlier life left them."""
        self._lessons: Mapping[Subject, float] = dict(lessons or {})
        self._waits: dict[Subject, _Wait] = {}
        self._given: dict[Grant, Subject] = {}

    @property
    def lessons(self) -> Mapping[Subject, float]:
        """When each was learnt, those past their time too; another object after each change."""
        return self._lessons

    def current(self, now: float) -> dict[Subject, float]:
        """The lessons that hold at `now`, newest first, and when each was learnt."""
        rows = sorted(self._lessons.items(), key=lambda row: row[1], reverse=True)
        return {subject: at for subject, at in rows if _holds(at, now)}

    def missed(
        self, client_address: str, version: Version | None, digest: Digest | None, now: float
    ) -> frozenset[Delivery]:
        """What this client, which asks now, is known to leave alone.

        `digest` is the blob that it asks a Location for, None if it asks for something else.
        """
        found = set()
        for delivery in Delivery:
            subject = Subject(client_address, version, delivery)
            wait = self._waits.get(subject)
            if wait is not None and _is_missed(wait, digest, now):
                self._learn(subject, now)
            if _holds(self._lessons.get(subject), now):
                found.add(delivery)
        return frozenset(found)

    def is_another_s(self, grant: Grant, subject: Subject | None) -> bool:
        """Whether this very grant was given to somebody else, whose parts could not be told."""
        return self._given.get(grant, subject) != subject

    def note_given(self, subject: Subject, grant: Grant, now: float) -> None:
        """Remember that `subject` was given a Location with `grant`."""
        self._given[grant] = subject
        self._waits.setdefault(subject, _Wait(grant.digest, now))
        if len(self._given) > GIVEN_MAX:
            self._waits.pop(self._given.pop(next(iter(self._given))), None)

    def note_part(self, grant: Grant) -> None:
        """A part was asked for under `grant`: whoever it was given to accepts that kind."""
        subject = self._given.get(grant)
        if subject is None:
            return
        self._waits.pop(subject, None)
        if subject in self._lessons:
            self._lessons = {one: at for one, at in self._lessons.items() if one != subject}

    def clear(self) -> None:
        """Forget all that was learnt, and whoever is waited for."""
        self._waits.clear()
        self._lessons = {}

    def _learn(self, subject: Subject, now: float) -> None:
        del self._waits[subject]
        older = {one: at for one, at in self._lessons.items() if one != subject and _holds(at, now)}
        if len(older) >= LESSONS_MAX:
            del older[min(older, key=older.__getitem__)]
        self._lessons = {**older, subject: now}


def _is_missed(wait: _Wait, digest: Digest | None, now: float) -> bool:
    waited_seconds = now - wait.since
    return waited_seconds >= (AGAIN_SECONDS if digest == wait.digest else PART_SECONDS)


def _holds(learnt_at: float | None, now: float) -> bool:
    """A lesson of the future is none: the clock was set back."""
    return learnt_at is not None and 0 <= now - learnt_at < LESSON_SECONDS
