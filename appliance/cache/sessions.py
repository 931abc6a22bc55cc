"""Who pulls what, now and in the last minutes: every body that leaves is some session's.

A body belongs to the pull whose manifest lists its blob, by the address that asks for both. All of
it is in memory and bounded; what lasts is each client's account, where the operator wants that.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from appliance.cache.clients import ClientAccounts
from appliance.cache.readers import Reader
from appliance.cache.session import Session, Supply, Transfer
from appliance.protocol.digest import Digest
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.store.store import Store

REMEMBERED_SECONDS = 300.0  # A session that is over, so that who looks up from work still sees it.
SESSIONS_MAX = 1000  # Some kilobytes each; past it the one that is over, or began, first goes.
MANIFESTS_NOTED_MAX = 10_000  # Two references each; past it the one noted first goes.
TAGS_NOTED_MAX = 4  # Of one repository by one client: it pulls one after another.

_DOWNLOADED = frozenset({CacheStatus.MISS, CacheStatus.PARTIAL, CacheStatus.COLLAPSED})


@dataclass(frozen=True, slots=True)
class _Noted:
    """A manifest that a client was given."""

    reference: Reference
    digest: Digest


class Sessions:
    """All sessions. `now` tells the time of day, `clock` never turns back."""

    def __init__(
        self,
        store: Store,
        accounts: ClientAccounts,
        *,
        now: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._now = now
        self._clock = clock
        self._noted: dict[tuple[str, Repository], list[_Noted]] = {}
        self._current: dict[tuple[str, Reference | Repository], Session] = {}
        self._past: list[Session] = []
        self._downloaded: Counter[Digest] = Counter()  # Bodies that draw on a blob's download.
        self.count = 0  # Since the start.

    @property
    def active(self) -> list[Session]:
        return [each for each in self._current.values() if not each.state.is_over]

    @property
    def recent(self) -> list[Session]:
        """Those that are over, oldest first."""
        over = [each for each in self._current.values() if each.state.is_over]
        return sorted((*self._past, *over), key=lambda each: each.began)

    def note_manifest(self, client_address: str, reference: Reference, digest: Digest) -> None:
        """A client was given a manifest: what it asks for next is likely of that."""
        key = (client_address, reference.repository)
        before = [each for each in self._noted.pop(key, []) if each.reference != reference]
        self._noted[key] = [*before, _Noted(reference, digest)][-TAGS_NOTED_MAX:]
        if len(self._noted) > MANIFESTS_NOTED_MAX:
            del self._noted[next(iter(self._noted))]
        session = self._current.get((client_address, reference))
        if session is not None and session.has_all_it_asked:
            self._retire((client_address, reference))  # It pulls the model once more.

    def watch(
        self, client_address: str, repository: Repository, digest: Digest, reader: Reader
    ) -> "WatchedReader":
        """The same reader, whose bytes are counted to its session as they go."""
        session = self._find(client_address, repository, digest)
        supply = self._choose_supply(session, digest, reader.status)
        transfer = Transfer(digest, reader.size_bytes, reader.span.start, supply)
        session.begin(transfer, self._clock())
        if supply is not Supply.CACHE:
            self._downloaded[digest] += 1
        return WatchedReader(reader, transfer, lambda: self._end(session, transfer))

    def _end(self, session: Session, transfer: Transfer) -> None:
        session.end(transfer, self._clock())
        if transfer.supply is not Supply.CACHE:
            self._downloaded[transfer.digest] -= 1
            if not self._downloaded[transfer.digest]:
                del self._downloaded[transfer.digest]

    def look(self) -> None:
        """Judge how each goes, and forget the old; to be called once a second."""
        now = self._clock()
        for session in self._current.values():
            session.look(now)
            self._account(session)
        for key in [key for key, each in self._current.items() if each.state.is_over]:
            if now - (self._current[key].ended or now) >= REMEMBERED_SECONDS:
                self._retire(key)
        self._past = [each for each in self._past if now - (each.ended or now) < REMEMBERED_SECONDS]

    def _find(self, client_address: str, repository: Repository, digest: Digest) -> Session:
        noted = self._noted.get((client_address, repository), [])
        for each in reversed(noted):
            session = self._current.get((client_address, each.reference))
            blobs = (
                session.blobs
                if session is not None
                else self._store.list_blobs(repository, each.digest)
            )
            if digest in blobs:
                return session or self._begin(client_address, each.reference, blobs)
        session = self._current.get((client_address, repository))
        return session or self._begin(client_address, repository, {})

    def _begin(
        self, client_address: str, pulled: Reference | Repository, blobs: Mapping[Digest, int]
    ) -> Session:
        reference = pulled if isinstance(pulled, Reference) else None
        repository = pulled.repository if isinstance(pulled, Reference) else pulled
        session = Session(client_address, repository, reference, blobs, self._now(), self._clock())
        self._current[client_address, pulled] = session
        self.count += 1
        session.number = self.count
        self._accounts.note_pull(client_address)
        if len(self._current) > SESSIONS_MAX:
            over = (key for key, each in self._current.items() if each.state.is_over)
            self._retire(next(over, next(iter(self._current))))
        return session

    def _choose_supply(self, session: Session, digest: Digest, status: CacheStatus) -> Supply:
        if status is CacheStatus.UNCACHED:
            return Supply.INTERNET
        if status not in _DOWNLOADED:
            return Supply.CACHE
        own = session.downloads(digest)
        if own is not None:
            return own
        return Supply.WAITING if self._downloaded[digest] else Supply.INTERNET

    def _retire(self, key: tuple[str, Reference | Repository]) -> None:
        session = self._current.pop(key)
        self._account(session)
        session.close(self._clock())
        self._past = [*self._past, session][-SESSIONS_MAX:]

    def _account(self, session: Session) -> None:
        sent_bytes = session.sent_bytes
        if sent_bytes > session.saved_bytes:
            self._accounts.note_served(session.client_address, sent_bytes - session.saved_bytes)
            session.saved_bytes = sent_bytes


class WatchedReader:
    """A reader whose bytes are also counted to a session."""

    def __init__(self, reader: Reader, transfer: Transfer, ended: Callable[[], None]) -> None:
        self._reader = reader
        self._transfer = transfer
        self._ended = ended
        self._is_open = True
        self.file_fd = reader.file_fd
        self.span = reader.span
        self.size_bytes = reader.size_bytes
        self.status = reader.status

    def spans(self) -> AsyncIterator[Span]:
        return self._reader.spans()

    def is_streamable(self) -> bool:
        return self._reader.is_streamable()

    def chunks(self, start: int) -> AsyncIterator[bytes]:
        return self._reader.chunks(start)

    def on_spoilt(self, cut: Callable[[], None]) -> None:
        self._reader.on_spoilt(cut)

    def note_sent(self, sent_bytes: int) -> None:
        self._transfer.sent_bytes += sent_bytes
        self._reader.note_sent(sent_bytes)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._ended()
        self.file_fd = None
        self._reader.close()
