"""LMDB behind one door: tables of bytes in transactions, a map that grows, damage that has a name.

Theory of operation. Readers take a snapshot and never wait for a writer; one writer at a time,
whose commit is on disk when it returns. LMDB maps a file of fixed size. When that is full the
writer's transaction is undone, the map doubled and the work done over, so work handed to `write`
must be repeatable. The map may move only while nothing is read: readers are counted, and the
writer waits for those inside (microseconds) while new ones wait for it.

LMDB trusts its file. One cut short would end the process with SIGBUS at some later read, so the
missing end is first made up with zeros, which LMDB itself refuses as pages, and then everything is
read once: what is damaged shows at open, as a fault.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import lmdb

from appliance.store.disk import FILE_MODE
from appliance.store.faults import EnvironmentDamagedError, StoreFullError

MAP_SIZE_BYTES = 64 * 1024 * 1024  # Address space, not disk: room for 100,000 blobs before growing.
PAGE_SIZE_BYTES = 4096  # The least that a commit needs where the disk is full.
READERS_MAX = 512  # Threads that may read at once; the pumps and workers of one box are below 100.

_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
)


class Transaction:
    """A consistent view of all tables; in `write` also the changes to them."""

    def __init__(
        self, inner: "lmdb.Transaction[bytes]", tables: "dict[str, lmdb._Database]"
    ) -> None:
        self._inner = inner
        self._tables = tables

    def find(self, table: str, key: bytes) -> bytes | None:
        return self._inner.get(key, db=self._tables[table])

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._inner.put(key, value, db=self._tables[table])

    def remove(self, table: str, key: bytes) -> bool:
        return self._inner.delete(key, db=self._tables[table])

    def count(self, table: str) -> int:
        return self._inner.stat(self._tables[table])["entries"]

    def items(self, table: str, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every key that begins with `prefix`, in order, with its value."""
        with self._inner.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(prefix) if prefix else cursor.first()
            while found and cursor.key().startswith(prefix):
                yield cursor.item()
                found = cursor.next()


class Environment:
    """One LMDB directory, which must exist. Open it once a process; close it once."""

    def __init__(
        self, path: Path, tables: Sequence[str], *, map_size_bytes: int = MAP_SIZE_BYTES
    ) -> None:
        """Open or create the tables, and reap the reader slots of processes that died.

        Raises:
            EnvironmentDamagedError: what lies there cannot be read.
        """
        self.path = path
        self._writing = threading.Lock()
        self._calm = threading.Condition()
        self._readers_inside = 0
        self._is_growing = False
        with self._faults():
            self._env = lmdb.open(
                str(path),
                map_size=map_size_bytes,
                max_dbs=len(tables),
                max_readers=READERS_MAX,
                mode=FILE_MODE,
            )
        try:
            with self._faults():
                self._make_up_the_end()
                self._env.reader_check()
                self._tables = {name: self._env.open_db(name.encode()) for name in tables}
                self._read_everything()
        except BaseException:
            self._env.close()
            raise

    def close(self) -> None:
        self._env.close()

    @property
    def map_size_bytes(self) -> int:
        return self._env.info()["map_size"]

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A snapshot to read from. Keep it short, and do not read or write inside it again.

        A map that must grow waits for all readers inside, and all others wait for it.
        """
        with self._calm:
            while self._is_growing:
                self._calm.wait()
            self._readers_inside += 1
        try:
            with self._faults(), self._env.begin() as inner:
                yield Transaction(inner, self._tables)
        finally:
            with self._calm:
                self._readers_inside -= 1
                if self._is_growing:
                    self._calm.notify_all()

    def write[T](self, work: Callable[[Transaction], T]) -> T:
        """Do `work` wholly or not at all, and sync. It is done over where the map was full.

        Raises:
            StoreFullError: the disk is full.
            EnvironmentDamagedError: the file cannot be relied upon.
        """
        with self._writing:
            while True:
                try:
                    with self._faults(), self._env.begin(write=True) as inner:
                        return work(Transaction(inner, self._tables))
                except lmdb.MapFullError:
                    self._grow()

    def _grow(self) -> None:
        with self._calm:
            self._is_growing = True
            try:
                self._calm.wait_for(lambda: self._readers_inside == 0)
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            finally:
                self._is_growing = False
                self._calm.notify_all()

    def _make_up_the_end(self) -> None:
        # A sound file may be a little short too: pages that a transaction took and gave back are
        # never written. That is why shortness alone is no damage.
        promised = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        data = self.path / "data.mdb"
        if data.stat().st_size < promised:
            os.truncate(data, promised)

    def _read_everything(self) -> None:
        with self._env.begin() as inner:
            for table in self._tables.values():
                with inner.cursor(table) as cursor:
                    for _ in cursor:
                        pass

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Say LMDB's errors in this room's words; MapFullError passes, to be answered above."""
        try:
            yield
        except _DAMAGE as error:
            raise EnvironmentDamagedError(self.path, str(error)) from error
        except lmdb.MapFullError:
            raise
        except lmdb.DiskError as error:
            raise StoreFullError(self.path.parent, PAGE_SIZE_BYTES, 0) from error
        except lmdb.Error as error:
            raise OSError(error.code or errno.EIO, str(error)) from error
