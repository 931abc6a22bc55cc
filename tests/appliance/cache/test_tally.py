"""Counting: nothing is lost between memory and ledger, whichever thread counts."""

import threading

import pytest

from appliance.cache.tally import Count, Tally


def test_counts_add_up() -> None:
    tally = Tally()
    tally.add(Count.BLOB_HITS)
    tally.add(Count.SERVED_BYTES, 100)
    tally.add(Count.SERVED_BYTES, 20)
    assert tally.since_start == {"blob_hits": 1, "served_bytes": 120}


def test_a_save_writes_each_count_once() -> None:
    tally, written = Tally(), list[dict[str, int]]()
    tally.add(Count.FILLS, 2)
    tally.save(written.append)
    tally.save(written.append)
    tally.add(Count.FILLS)
    tally.save(written.append)
    assert written == [{"fills": 2}, {"fills": 1}]
    assert tally.since_start == {"fills": 3}


def test_what_cannot_be_written_is_kept() -> None:
    tally, written = Tally(), list[dict[str, int]]()
    tally.add(Count.FILLS)

    def fail(counts: dict[str, int]) -> None:
        tally.add(Count.FILLS, 10)  # Counted while the ledger fails.
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        tally.save(fail)
    tally.save(written.append)
    assert written == [{"fills": 11}]


def test_no_count_is_lost_to_a_save_on_another_thread() -> None:
    tally, written = Tally(), list[dict[str, int]]()
    is_counted = threading.Event()

    def save() -> None:
        while not is_counted.is_set():
            tally.save(written.append)
        tally.save(written.append)

    saver = threading.Thread(target=save)
    saver.start()
    for _ in range(20_000):
        tally.add(Count.SERVED_BYTES, 3)
    is_counted.set()
    saver.join()
    assert sum(each["served_bytes"] for each in written) == 60_000


def test_names_are_the_ledger_s_and_told_apart() -> None:
    assert len({each.value for each in Count}) == len(Count)
