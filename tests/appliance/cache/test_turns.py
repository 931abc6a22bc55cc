"""Turns: so many at once, the patient fewer, and nobody's is lost."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from appliance.cache.turns import FILLS_MAX, PATIENT_MAX, Turns
from appliance.protocol.digest import Digest, digest_of


def digest(number: int) -> Digest:
    return digest_of(number.to_bytes(4))


class Fills:
    """Fills that run until they are told to end."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.ends: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.running: set[int] = set()

    async def fill(self, number: int, *, is_patient: bool) -> None:
        async with self.turns.taken(digest(number), is_patient=is_patient):
            self.running.add(number)
            try:
                await self.ends[number].wait()
            finally:
                self.running.discard(number)

    async def start(self, group: asyncio.TaskGroup, number: int, *, is_patient: bool) -> None:
        self.ends[number] = asyncio.Event()
        self.tasks[number] = group.create_task(self.fill(number, is_patient=is_patient))
        await settle()

    def end_all(self) -> None:
        for task in self.tasks.values():
            task.cancel()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_so_many_run_at_once_and_the_rest_in_order() -> None:
    fills = Fills()
    async with asyncio.TaskGroup() as group:
        for number in range(FILLS_MAX + 2):
            await fills.start(group, number, is_patient=False)
        assert fills.running == set(range(FILLS_MAX))
        assert fills.turns.running_count == FILLS_MAX
        fills.ends[5].set()
        await settle()
        assert fills.running == set(range(FILLS_MAX + 1)) - {5}
        fills.end_all()


async def test_of_the_patient_fewer_run_and_they_hold_up_nobody_else() -> None:
    fills = Fills()
    async with asyncio.TaskGroup() as group:
        for number in range(PATIENT_MAX + 2):
            await fills.start(group, number, is_patient=True)
        await fills.start(group, 100, is_patient=False)
        assert fills.running == {*range(PATIENT_MAX), 100}
        fills.ends[0].set()
        await settle()
        assert fills.running == {*range(1, PATIENT_MAX + 1), 100}
        fills.end_all()


async def test_who_is_in_a_hurry_gets_a_waiting_blob_at_once() -> None:
    fills = Fills()
    async with asyncio.TaskGroup() as group:
        for number in range(PATIENT_MAX + 2):
            await fills.start(group, number, is_patient=True)
        fills.turns.hurry(digest(PATIENT_MAX + 1))
        fills.turns.hurry(digest(0))  # It runs already.
        await settle()
        assert fills.running == {*range(PATIENT_MAX), PATIENT_MAX + 1}
        fills.ends[PATIENT_MAX + 1].set()  # Its turn was none of the patient ones'.
        await settle()
        assert fills.running == set(range(PATIENT_MAX))
        fills.end_all()


STEPS = st.lists(
    st.tuples(st.sampled_from(["start", "hurry", "end", "cancel"]), st.integers(0, 11)),
    max_size=60,
)


@given(STEPS)
async def test_however_fills_come_and_go_turns_are_neither_lost_nor_doubled(
    steps: list[tuple[str, int]],
) -> None:
    fills = Fills()
    hurried: Counter[int] = Counter()
    async with asyncio.TaskGroup() as group:
        for step, number in steps:
            task = fills.tasks.get(number)
            is_there = task is not None and not task.done()
            if step == "start" and not is_there:
                hurried[number] = 0
                await fills.start(group, number, is_patient=True)
            elif step == "hurry":
                hurried[number] += 1
                fills.turns.hurry(digest(number))
            elif step == "end" and is_there:
                fills.ends[number].set()
            elif step == "cancel" and is_there and task is not None:
                task.cancel()
            await settle()
            there = {each for each, task in fills.tasks.items() if not task.done()}
            patient = {each for each in fills.running if not hurried[each]}
            assert len(patient) <= PATIENT_MAX
            assert len(fills.running) >= min(len(there), PATIENT_MAX)
        fills.end_all()
    assert (fills.turns.running_count, fills.turns._patient_count) == (0, 0)
