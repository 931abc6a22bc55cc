"""What the box did, kept: counts, pulls and lessons on their way to the ledger, and back.

The box's own health checks pull a model too. They go the way of a client and are not one: what
concerns that model is counted apart and never shown.
"""

import datetime
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.cache.clients import ClientAccounts
from appliance.cache.tally import Tally
from appliance.policy.learning import Learning
from appliance.protocol.digest import Digest
from appliance.protocol.reference import Reference, Repository
from appliance.store.faults import StoreError
from appliance.store.models import ModelRow
from appliance.store.store import Store, StoreStats

HOURS_KEPT = 8 * 24  # A week and a day, so that a week's graph is whole.
LAST_DAY = "9999"  # Sorts after every day.

_log = logging.getLogger("cache")


@dataclass(frozen=True, slots=True)
class Accounts:
    """Counts since the start and ever, by their names in Count; by day and hour (ISO, UTC)."""

    since_start: dict[str, int]
    ever: dict[str, int]
    by_day: dict[str, dict[str, int]]
    by_hour: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Uncounted:
    """The box's own model: what is pulled by nobody."""

    repository: Repository
    digests: tuple[Digest, ...]


class Bookkeeper:
    """Collects counts, pulls and lessons in memory; `save` writes them, and blocks."""

    def __init__(
        self,
        store: Store,
        uncounted: Uncounted,
        *,
        now: Callable[[], float],
        client_days: int = 0,
    ) -> None:
        """`client_days` is for how long clients' accounts are kept; 0: there are none."""
        self.tally = Tally()
        self.clients = ClientAccounts(is_kept=client_days > 0)
        self._client_days = client_days
        self._clients_kept_from = ""
        self.learning = Learning(store.lessons())
        self._lessons_saved = self.learning.lessons
        self._aside = Tally()
        self._store = store
        self._uncounted = uncounted
        self._now = now
        self._pulled: deque[tuple[Reference, float]] = deque()
        self._saving = threading.Lock()

    def is_own(self, repository: Repository) -> bool:
        """Whether it is the box's own, which nobody pulls but the box."""
        return repository == self._uncounted.repository

    def tally_for(self, repository: Repository) -> Tally:
        """Where what concerns `repository` is counted."""
        return self._aside if self.is_own(repository) else self.tally

    def note_pulled(self, reference: Reference) -> None:
        """Remember that somebody pulled `reference` just now."""
        if not self.is_own(reference.repository):
            self._pulled.append((reference, self._now()))

    def save(self) -> None:
        """Write what is not yet in the ledger; what it does not take is kept, and said. Blocks.

        Once this returns no other save is under way either.
        """
        try:
            self._save()
        except (StoreError, OSError) as fault:
            _log.warning("the counts are not saved yet: %s", fault)

    def _save(self) -> None:
        now = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        hour, today = now.strftime("%Y-%m-%dT%H"), now.date().isoformat()
        kept_from = (now - datetime.timedelta(hours=HOURS_KEPT)).strftime("%Y-%m-%dT%H")
        with self._saving:
            self.tally.save(
                lambda counts: self._store.add_totals(hour, counts, kept_from=kept_from)
            )
            self.clients.save(lambda counts: self._store.add_client_totals(today, counts))
            self._forget_old_clients(now)
            while self._pulled:
                self._store.note_pulled(*self._pulled[0])
                self._pulled.popleft()
            lessons = self.learning.lessons
            if lessons is not self._lessons_saved:
                self._store.replace_lessons(lessons)
                self._lessons_saved = lessons

    def _forget_old_clients(self, now: datetime.datetime) -> None:
        """Once a day, and at the start: then also all of them, where none are kept."""
        first = (now - datetime.timedelta(days=self._client_days - 1)).date().isoformat()
        kept_from = first if self.clients.is_kept else LAST_DAY
        if kept_from != self._clients_kept_from:
            self._store.forget_clients(kept_from=kept_from)
            self._clients_kept_from = kept_from

    def client_totals(self) -> dict[str, dict[str, int]]:
        """What each client was given on the days that are kept. Blocks."""
        self.save()
        return self._store.client_totals()

    def accounts(self) -> Accounts:
        """What is counted; what is not yet saved is missing from `ever` and `by_day`."""
        return Accounts(
            since_start=dict(self.tally.since_start),
            ever=self._store.totals(),
            by_day=self._store.totals_by_day(),
            by_hour=self._store.totals_by_hour(),
        )

    def models(self) -> list[ModelRow]:
        """The stored models with all their pulls, the box's own left out. Blocks."""
        self.save()
        return [row for row in self._store.models() if not self.is_own(row.reference.repository)]

    def stats(self) -> StoreStats:
        """The store's sizes, the box's own model left out."""
        stats = self._store.stats()
        own_rows = [row for row in self._store.models() if self.is_own(row.reference.repository)]
        own_blobs = [self._store.find_blob(digest) for digest in self._uncounted.digests]
        held = [record for record in own_blobs if record is not None]
        return replace(
            stats,
            manifest_count=stats.manifest_count - len({row.digest for row in own_rows}),
            blob_count=stats.blob_count - len(held),
            blob_size_bytes=stats.blob_size_bytes - sum(each.size_bytes for each in held),
        )
