"""What no file says and nobody can bring back: totals, tag moves, pulls, and whose ledger it is.

Tables:

    about   "store"                     → the id in the marker
            "scrub"                     → how far the reading again of everything has come
            "paused"                    → empty: nothing is downloaded that no client waits for
    totals  name                        → count, ever
    daily   day NUL name                → count on that day
    hourly  hour NUL name               → count in that hour; old hours are forgotten
    clients day NUL address NUL name    → count of that client on that day; old days are forgotten
    moves   reference NUL when          → TagMove; the same move recorded twice is one
    pulls   reference                   → last pulled, how often
    pins    reference                   → empty: never let this one go
    wishes  reference                   → when it was wished for ahead of time
    tokens  token id                    → TokenRecord
    learnt  address NUL version NUL kind → when it was learnt that this is not fetched from

Every change is synced before it returns, so callers gather counts and add them now and then.
"""

import struct
from collections.abc import Mapping
from pathlib import Path

from appliance.policy.learning import Subject
from appliance.protocol.reference import Reference
from appliance.store.encodings import (
    decode_lesson,
    decode_mark,
    decode_move,
    decode_pulls,
    decode_size,
    decode_token,
    encode_lesson,
    encode_mark,
    encode_move,
    encode_pulls,
    encode_size,
    encode_token,
)
from appliance.store.faults import EnvironmentDamagedError, LedgerDamagedError
from appliance.store.index import MAP_SIZE_BYTES, Environment, Transaction
from appliance.store.records import Pulls, ScrubMark, TagMove, TokenRecord

ABOUT, TOTALS, DAILY, MOVES, PULLS, PINS, TOKENS, LEARNT, HOURLY, CLIENTS, WISHES = TABLES = (
    *("about", "totals", "daily", "moves", "pulls", "pins", "tokens", "learnt"),
    *("hourly", "clients", "wishes"),
)

_STORE = b"store"
_DAY_LENGTH = len("2026-01-31")  # Of an hour's spelling, the part that is its day's.
_SCRUB = b"scrub"
_PAUSED = b"paused"


class Ledger:
    """The ledger, open. Reads take microseconds, changes block for a sync."""

    def __init__(self, path: Path, *, map_size_bytes: int = MAP_SIZE_BYTES) -> None:
        """Raises LedgerDamagedError: nothing here is dropped to get going."""
        try:
            self._env = Environment(path, TABLES, map_size_bytes=map_size_bytes)
        except EnvironmentDamagedError as error:
            raise LedgerDamagedError(path, str(error)) from error

    def close(self) -> None:
        self._env.close()

    @property
    def store_id(self) -> str | None:
        """Whose ledger this is; None in a new one."""
        with self._env.reading() as now:
            content = now.find(ABOUT, _STORE)
        return None if content is None else content.decode("ascii", errors="replace")

    def belong_to(self, store_id: str) -> None:
        self._env.write(lambda now: now.put(ABOUT, _STORE, store_id.encode()))

    @property
    def scrub_mark(self) -> ScrubMark | None:
        with self._env.reading() as now:
            content = now.find(ABOUT, _SCRUB)
        return None if content is None else decode_mark(content)

    def note_scrubbed(self, mark: ScrubMark) -> None:
        self._env.write(lambda now: now.put(ABOUT, _SCRUB, encode_mark(mark)))

    @property
    def is_paused(self) -> bool:
        with self._env.reading() as now:
            return now.find(ABOUT, _PAUSED) is not None

    def pause(self, *, is_paused: bool) -> None:
        def work(now: Transaction) -> None:
            if is_paused:
                now.put(ABOUT, _PAUSED, b"")
            else:
                now.remove(ABOUT, _PAUSED)

        self._env.write(work)

    def wish(self, reference: Reference, at: int) -> None:
        self._env.write(lambda now: now.put(WISHES, str(reference).encode(), encode_size(at)))

    def unwish(self, reference: Reference) -> None:
        self._env.write(lambda now: now.remove(WISHES, str(reference).encode()))

    def wishes(self) -> list[str]:
        """The texts of the references that are wished for, the oldest wish first."""
        with self._env.reading() as now:
            found = [(decode_size(at) or 0, key.decode()) for key, at in now.items(WISHES)]
        return [reference for _, reference in sorted(found)]

    def add_totals(self, hour: str, counts: Mapping[str, int], *, kept_from: str = "") -> None:
        """Add `counts` to what was counted ever, on the day and in `hour` (2026-01-31T23).

        Hours before `kept_from` are forgotten.
        """
        day = hour[:_DAY_LENGTH]

        def work(now: Transaction) -> None:
            for name, count in counts.items():
                _add(now, TOTALS, name.encode(), count)
                _add(now, DAILY, f"{day}\0{name}".encode(), count)
                _add(now, HOURLY, f"{hour}\0{name}".encode(), count)
            _forget_before(now, HOURLY, kept_from)

        self._env.write(work)

    def totals(self) -> dict[str, int]:
        with self._env.reading() as now:
            return {key.decode(): decode_size(each) or 0 for key, each in now.items(TOTALS)}

    def totals_by_day(self) -> dict[str, dict[str, int]]:
        return self._totals_by_time(DAILY)

    def totals_by_hour(self) -> dict[str, dict[str, int]]:
        return self._totals_by_time(HOURLY)

    def _totals_by_time(self, table: str) -> dict[str, dict[str, int]]:
        times: dict[str, dict[str, int]] = {}
        with self._env.reading() as now:
            for key, content in now.items(table):
                time, _, name = key.decode().partition("\0")
                times.setdefault(time, {})[name] = decode_size(content) or 0
        return times

    def add_client_totals(self, day: str, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Add `counts` of each client to its own on `day`."""

        def work(now: Transaction) -> None:
            for address, of_client in counts.items():
                for name, count in of_client.items():
                    _add(now, CLIENTS, f"{day}\0{address}\0{name}".encode(), count)

        self._env.write(work)

    def client_totals(self) -> dict[str, dict[str, int]]:
        """By address, all days together."""
        clients: dict[str, dict[str, int]] = {}
        with self._env.reading() as now:
            for key, content in now.items(CLIENTS):
                _, address, name = key.decode().split("\0")
                of_client = clients.setdefault(address, {})
                of_client[name] = of_client.get(name, 0) + (decode_size(content) or 0)
        return clients

    def forget_clients(self, *, kept_from: str) -> None:
        """Forget the days before `kept_from`."""
        self._env.write(lambda now: _forget_before(now, CLIENTS, kept_from))

    def record_move(self, move: TagMove) -> None:
        # Instants are positive, and those sort as their bits do.
        key = f"{move.reference}\0".encode() + struct.pack(">d", move.moved_at)
        self._env.write(lambda now: now.put(MOVES, key, encode_move(move)))

    def moves(self, reference: Reference) -> list[TagMove]:
        """Where the tag pointed, oldest move first."""
        with self._env.reading() as now:
            contents = [each for _, each in now.items(MOVES, f"{reference}\0".encode())]
        found = (decode_move(reference, content) for content in contents)
        return [move for move in found if move is not None]

    def note_pulled(self, reference: Reference, at: float) -> None:
        key = str(reference).encode()

        def work(now: Transaction) -> None:
            before = _pulls(now, key)
            pulls = Pulls(max(at, before.last_at), before.count + 1) if before else Pulls(at, 1)
            now.put(PULLS, key, encode_pulls(pulls))

        self._env.write(work)

    def pulls(self) -> dict[str, Pulls]:
        """By the text of the reference."""
        with self._env.reading() as now:
            found = ((key.decode(), decode_pulls(each)) for key, each in now.items(PULLS))
            return {reference: pulls for reference, pulls in found if pulls is not None}

    def pin(self, reference: Reference) -> None:
        self._env.write(lambda now: now.put(PINS, str(reference).encode(), b""))

    def unpin(self, reference: Reference) -> None:
        self._env.write(lambda now: now.remove(PINS, str(reference).encode()))

    def record_token(self, record: TokenRecord, *, now: float) -> None:
        """Remember a token; those that have expired by `now` are forgotten."""

        def work(transaction: Transaction) -> None:
            for key, content in tuple(transaction.items(TOKENS)):
                held = decode_token(key.decode(), content)
                if held is None or held.expires_at <= now:
                    transaction.remove(TOKENS, key)
            transaction.put(TOKENS, record.token_id.encode(), encode_token(record))

        self._env.write(work)

    def find_token(self, token_id: str) -> TokenRecord | None:
        with self._env.reading() as now:
            content = now.find(TOKENS, token_id.encode())
        return None if content is None else decode_token(token_id, content)

    def tokens(self) -> list[TokenRecord]:
        with self._env.reading() as now:
            found = [decode_token(key.decode(), content) for key, content in now.items(TOKENS)]
        return [record for record in found if record is not None]

    def pins(self) -> set[str]:
        """The texts of the references that are pinned, held or not."""
        with self._env.reading() as now:
            return {key.decode() for key, _ in now.items(PINS)}

    def lessons(self) -> dict[Subject, float]:
        """What was learnt, and when."""
        with self._env.reading() as now:
            found = [decode_lesson(*item) for item in now.items(LEARNT)]
        return dict(each for each in found if each is not None)

    def replace_lessons(self, lessons: Mapping[Subject, float]) -> None:
        """Keep exactly these."""

        def work(now: Transaction) -> None:
            for key in [key for key, _ in now.items(LEARNT)]:
                now.remove(LEARNT, key)
            for subject, learnt_at in lessons.items():
                now.put(LEARNT, *encode_lesson(subject, learnt_at))

        self._env.write(work)


def _pulls(now: Transaction, key: bytes) -> Pulls | None:
    content = now.find(PULLS, key)
    return None if content is None else decode_pulls(content)


def _forget_before(now: Transaction, table: str, kept_from: str) -> None:
    """Remove what sorts before `kept_from`. Keys are read first: a cursor must not see removals."""
    old = []
    for key, _ in now.items(table):
        if key >= kept_from.encode():
            break
        old.append(key)
    for key in old:
        now.remove(table, key)


def _add(now: Transaction, table: str, key: bytes, count: int) -> None:
    content = now.find(table, key)
    before = None if content is None else decode_size(content)
    now.put(table, key, encode_size((before or 0) + count))
