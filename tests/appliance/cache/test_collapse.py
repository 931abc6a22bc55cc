"""One job for all who ask the same meanwhile, whoever of them goes away."""

import asyncio

import pytest

from appliance.cache.collapse import Collapse


class Job:
    """Counts its runs; ends when it is let."""

    def __init__(self) -> None:
        self.runs = 0
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self) -> int:
        self.runs += 1
        self.has_begun.set()
        run = self.runs
        await self.may_end.wait()
        if self.fault is not None:
            raise self.fault
        return run


async def test_many_askers_share_one_job() -> None:
    job = Job()
    async with asyncio.TaskGroup() as group:
        collapse = Collapse(group)
        askers = [group.create_task(collapse.run("key", job)) for _ in range(30)]
        await asyncio.sleep(0)
        job.may_end.set()
    assert {each.result() for each in askers} == {1}
    assert job.runs == 1


async def test_other_keys_are_other_jobs() -> None:
    job = Job()
    job.may_end.set()
    async with asyncio.TaskGroup() as group:
        collapse = Collapse(group)
        assert await collapse.run("one", job) == 1
        assert await collapse.run("two", job) == 2
        assert await collapse.run("one", job) == 3


async def test_every_asker_gets_the_fault_and_the_group_lives_on() -> None:
    job = Job()
    job.fault = LookupError("nothing")
    async with asyncio.TaskGroup() as group:
        collapse = Collapse(group)
        askers = [group.create_task(ask(collapse, job)) for _ in range(3)]
        await asyncio.sleep(0)
        job.may_end.set()
        assert [await each for each in askers] == ["nothing"] * 3
        job.fault = None
        assert await collapse.run("key", job) == 2


async def ask(collapse: Collapse, job: Job) -> str:
    with pytest.raises(LookupError) as caught:
        await collapse.run("key", job)
    return str(caught.value)


async def test_the_job_survives_the_first_asker() -> None:
    job = Job()
    async with asyncio.TaskGroup() as group:
        collapse = Collapse(group)
        first = group.create_task(collapse.run("key", job))
        second = group.create_task(collapse.run("key", job))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        job.may_end.set()
        assert await second == 1
    assert first.cancelled()
    assert job.runs == 1


async def test_a_job_that_all_have_left_still_ends() -> None:
    job = Job()
    async with asyncio.TaskGroup() as group:
        collapse = Collapse(group)
        only = group.create_task(collapse.run("key", job))
        await job.has_begun.wait()
        only.cancel()
        await asyncio.wait([only])
        job.may_end.set()
    assert job.runs == 1


async def test_cancelling_ends_every_job() -> None:
    job = Job()
    async with asyncio.TaskGroup() as group:
        collapse = Collapse(group)
        asker = group.create_task(collapse.run("key", job))
        await job.has_begun.wait()
        collapse.cancel()
    assert asker.cancelled()
