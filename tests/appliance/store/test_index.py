"""LMDB behind its door: snapshots, a map that grows, damage with a name."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import pytest

from appliance.store.faults import EnvironmentDamagedError
from appliance.store.index import Environment, Transaction

TABLES = ("a", "b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "env").mkdir()
    return tmp_path / "env"


def put(env: Environment, *keys: bytes, table: str = "a", value: bytes = b"v") -> None:
    def work(now: Transaction) -> None:
        for key in keys:
            now.put(table, key, value)

    env.write(work)


def keys_in(env: Environment, prefix: bytes = b"") -> list[bytes]:
    with env.reading() as now:
        return [key for key, _ in now.items("a", prefix)]


def test_what_was_written_is_there_after_opening_again(path: Path) -> None:
    env = Environment(path, TABLES)
    put(env, b"key", value=b"value")
    env.close()
    env = Environment(path, TABLES)
    with env.reading() as now:
        assert now.find("a", b"key") == b"value"
        assert now.find("b", b"key") is None
        assert (now.count("a"), now.count("b")) == (1, 0)
    env.close()


def test_items_are_those_of_the_prefix_in_order(path: Path) -> None:
    env = Environment(path, TABLES)
    put(env, b"b2", b"a", b"b1", b"c")
    assert keys_in(env, b"b") == [b"b1", b"b2"]
    assert keys_in(env) == [b"a", b"b1", b"b2", b"c"]
    assert keys_in(env, b"d") == []
    env.close()


def test_removing_says_whether_there_was_something(path: Path) -> None:
    env = Environment(path, TABLES)
    put(env, b"key")
    assert env.write(lambda now: (now.remove("a", b"key"), now.remove("a", b"key"))) == (
        True,
        False,
    )
    env.close()


def test_work_that_fails_leaves_nothing(path: Path) -> None:
    env = Environment(path, TABLES)

    def work(now: Transaction) -> None:
        now.put("a", b"key", b"value")
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        env.write(work)
    assert keys_in(env) == []
    env.close()


def test_a_full_map_grows(path: Path) -> None:
    env = Environment(path, TABLES, map_size_bytes=64 * 1024)
    put(env, *(b"%d" % number for number in range(300)), value=bytes(1000))
    assert env.map_size_bytes >= 300_000
    assert len(keys_in(env)) == 300
    env.close()


def test_a_grown_map_opens_again_with_the_first_size(path: Path) -> None:
    env = Environment(path, TABLES, map_size_bytes=64 * 1024)
    put(env, *(b"%d" % number for number in range(300)), value=bytes(1000))
    env.close()
    env = Environment(path, TABLES, map_size_bytes=64 * 1024)
    put(env, *(b"more%d" % number for number in range(300)), value=bytes(1000))
    assert len(keys_in(env)) == 600
    env.close()


def test_the_map_grows_only_once_nobody_reads(path: Path) -> None:
    env = Environment(path, TABLES, map_size_bytes=64 * 1024)
    put(env, b"key")
    large = [b"%d" % number for number in range(300)]
    writer = threading.Thread(target=lambda: put(env, *large, value=bytes(1000)))
    with env.reading() as now:
        writer.start()
        writer.join(0.05)  # Long enough to run into the full map, were it not to wait for us.
        assert now.find("a", b"key") == b"v"
        assert writer.is_alive()
    writer.join()
    assert len(keys_in(env)) == 301
    env.close()


def test_readers_and_writers_on_many_threads_see_whole_transactions(path: Path) -> None:
    env = Environment(path, TABLES, map_size_bytes=64 * 1024)
    torn: list[tuple[int, int]] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.001):  # Breathes, or the interpreter's lock starves the writer.
            with env.reading() as now:
                counts = now.count("a"), now.count("b")
            if counts[0] != counts[1]:
                torn.append(counts)

    def put_both(now: Transaction) -> None:
        key = b"%d" % now.count("a")
        now.put("a", key, bytes(1000))
        now.put("b", key, bytes(1000))

    readers = [threading.Thread(target=read, daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(60):
            env.write(put_both)
    finally:
        done.set()
    for reader in readers:
        reader.join()
    assert not torn
    assert env.map_size_bytes > 64 * 1024
    env.close()


@pytest.mark.parametrize("content", [b"no database at all", bytes(100_000), os.urandom(100_000)])
def test_what_is_no_database_is_damage(path: Path, content: bytes) -> None:
    (path / "data.mdb").write_bytes(content)
    with pytest.raises(EnvironmentDamagedError) as caught:
        Environment(path, TABLES)
    assert caught.value.path == path


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
def test_a_file_cut_short_is_damage_and_no_crash(path: Path, kept: float) -> None:
    env = Environment(path, TABLES)
    put(env, *(b"%d" % number for number in range(2000)), value=bytes(100))
    env.close()
    size_bytes = (path / "data.mdb").stat().st_size
    os.truncate(path / "data.mdb", int(size_bytes * kept) // 4096 * 4096)
    with pytest.raises(EnvironmentDamagedError):
        Environment(path, TABLES)


def test_a_damaged_one_can_be_moved_away_at_once(path: Path) -> None:
    (path / "data.mdb").write_bytes(b"no database at all")
    with pytest.raises(EnvironmentDamagedError):
        Environment(path, TABLES)
    path.rename(path.with_name("away"))
    path.mkdir()
    Environment(path, TABLES).close()


HOLDER = """
import lmdb, sys
env = lmdb.open(sys.argv[1], max_dbs=2)
print("open", flush=True)
sys.stdin.read()
"""
VICTIM = """
import lmdb, os, signal, sys
reading = lmdb.open(sys.argv[1], max_dbs=2).begin()
os.kill(os.getpid(), signal.SIGKILL)
"""


def has_slot(path: Path, pid: int) -> bool:
    with lmdb.open(str(path), max_dbs=2) as env:
        return str(pid) in env.readers().split()


def test_the_slot_of_a_reader_that_was_killed_is_reaped(path: Path) -> None:
    """Another process has it open, or LMDB would begin with an empty table of readers."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"open\n"
        with subprocess.Popen([sys.executable, "-c", VICTIM, str(path)]) as victim:
            assert victim.wait() == -signal.SIGKILL
        assert has_slot(path, victim.pid)
        Environment(path, TABLES).close()
        assert not has_slot(path, victim.pid)


def test_other_errors_of_lmdb_are_the_systems(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Environment(tmp_path / "missing" / "env", TABLES)
