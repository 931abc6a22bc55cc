"""Threads that own a socket while a body leaves the box.

Theory of operation. Moving a blob is one system call after another that may block on a cold
disk, so it happens outside the event loop, in a few threads with an epoll each. A job is an
outlet (a socket in the clear, or one with a TLS session), a file and a queue of spans: the loop
appends spans as they become readable, the thread sends them through the outlet, parks the job when
its queue is empty, and takes turns between jobs after TURN_BYTES_MAX each. A job ends when its last
span is out, when the peer is gone, or when nothing has moved for too long; a body that ends early
is the caller's to cut short, never to pad.

    loop:    submit ── feed ── feed ── end ─────────▶ await done
    thread:          epoll ── send ── park ── send ── close, done

The queue is a deque: one side appends and the other pops, which the interpreter keeps atomic. A
feed wakes the thread only if the job is parked; the thread marks it parked before it looks at the
queue a last time, so no span is left behind.
"""

import asyncio
import os
import select
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from appliance.delivery.plain import PlainOutlet
from appliance.delivery.tls import BUFFER_BYTES
from appliance.protocol.ranges import Span

THREADS = 3  # One may wait for a cold disk and one for another while the third serves the rest.
TURN_BYTES_MAX = 4 * 1024 * 1024  # What a job may send before the next has its turn.
STALL_SECONDS_MAX = 60.0  # A client that takes nothing for so long has gone without a word.
PARKED_SECONDS_MAX = 60.0  # Past 30 s without a byte Ollama has started the part anew.
_BEAT_SECONDS = 1.0  # How often stalled jobs are looked for.


class Outlet(Protocol):
    """A client's socket and how a file's bytes leave by it; the pump thread's while a job lasts."""

    out_fd: int
    gone_events: int  # Those of epoll that say that nobody listens any more.

    def send(self, file_fd: int, position: int, count: int, buffer: memoryview) -> int:
        """Send some of the next `count` bytes of a file; return how many of them are out.

        0 says that bytes moved and none of the file's is out yet: the next call goes on from the
        same `position`. `buffer`, of BUFFER_BYTES, is the thread's own, lent for the call. Raises
        BlockingIOError when the socket is full, EOFError where the file ends too early, and
        OSError when no more will ever leave.
        """
        ...


class _Job:
    """A body under way. Fields are the thread's once submitted, but for the marked ones."""

    def __init__(
        self,
        outlet: Outlet,
        file_fd: int,
        note_sent: Callable[[int], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.outlet = outlet
        self.note_sent = note_sent
        self.out_fd = outlet.out_fd
        self.file_fd = file_fd
        self.queue: deque[Span] = deque()  # Shared: appended by the loop, popped by the thread.
        self.is_ended = False  # The loop's: no span will follow.
        self.is_aborted = False  # The loop's: send no more.
        self.is_parked = False
        self.position = 0  # Of the first span in the queue: the next byte to send.
        self.sent_bytes = 0
        self.moved_at = time.monotonic()
        self.done: asyncio.Future[int] = loop.create_future()
        self._loop = loop

    def finish(self) -> None:
        """Called by the thread when it has let go of both descriptors."""
        self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        if not self.done.done():
            self.done.set_result(self.sent_bytes)


class _PumpThread(threading.Thread):
    def __init__(self, number: int) -> None:
        super().__init__(name=f"pump-{number}", daemon=True)
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._arrived: deque[_Job] = deque()
        self._jobs: dict[int, _Job] = {}
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._is_stopping = False
        self._is_closed = False
        self._closing = threading.Lock()  # A wake must not write to a descriptor given away.

    @property
    def load(self) -> int:
        return len(self._jobs) + len(self._arrived)

    def wake(self, job: _Job) -> None:
        """Look at `job`, new or changed, soon. Any thread may call this."""
        with self._closing:
            if self._is_closed:
                self._release(job)
                return
            self._arrived.append(job)
            os.eventfd_write(self._wake_fd, 1)

    def stop(self) -> None:
        """End the thread and every job it has. Blocks until both are done."""
        self._is_stopping = True
        os.eventfd_write(self._wake_fd, 1)
        self.join()
        with self._closing:
            self._is_closed = True
            for job in [*self._jobs.values(), *self._arrived]:
                self._release(job)
            self._epoll.close()
            os.close(self._wake_fd)

    def run(self) -> None:
        swept_at = time.monotonic()
        while not self._is_stopping:
            for fd, events in self._epoll.poll(_BEAT_SECONDS):
                if fd == self._wake_fd:
                    os.eventfd_read(fd)
                    self._admit()
                elif fd in self._jobs:
                    self._turn(self._jobs[fd], events)
            if time.monotonic() - swept_at > _BEAT_SECONDS:
                swept_at = time.monotonic()
                self._sweep(swept_at)

    def _admit(self) -> None:
        while self._arrived:
            job = self._arrived.popleft()
            if job.out_fd < 0:
                continue  # Released before its wake was read.
            if job.out_fd not in self._jobs:
                self._jobs[job.out_fd] = job
                self._epoll.register(job.out_fd, select.EPOLLOUT | job.outlet.gone_events)
            elif job.is_parked or job.is_aborted:
                self._epoll.modify(job.out_fd, select.EPOLLOUT | job.outlet.gone_events)
            job.is_parked = False

    def _turn(self, job: _Job, events: int) -> None:
        before_bytes = job.sent_bytes
        try:
            is_over = job.is_aborted or bool(events & job.outlet.gone_events) or self._send(job)
        except (OSError, EOFError):  # The peer is gone, or the disk is: no more will come.
            is_over = True
        if job.sent_bytes > before_bytes:
            job.note_sent(job.sent_bytes - before_bytes)
        if is_over:
            self._release(job)

    def _send(self, job: _Job) -> bool:
        """Send until the socket is full, the queue empty or the turn over. True: all is out."""
        budget = TURN_BYTES_MAX
        while budget > 0:
            if not job.queue:
                return self._park(job)
            span = job.queue[0]
            position = max(job.position, span.start)
            count = span.stop - position
            try:
                sent = job.outlet.send(job.file_fd, position, count, self._buffer)
            except BlockingIOError:
                return False
            job.sent_bytes += sent
            job.position = position + sent
            job.moved_at = time.monotonic()
            budget -= sent
            if job.position == span.stop:
                job.queue.popleft()
                job.position = 0
        return False

    def _park(self, job: _Job) -> bool:
        job.is_parked = True
        if job.queue:  # Fed between the last look and the mark.
            job.is_parked = False
            return False
        if job.is_ended:
            return not job.queue
        self._epoll.modify(job.out_fd, job.outlet.gone_events)
        job.moved_at = time.monotonic()
        return False

    def _sweep(self, now: float) -> None:
        for job in list(self._jobs.values()):
            allowed = PARKED_SECONDS_MAX if job.is_parked else STALL_SECONDS_MAX
            if job.is_aborted or now - job.moved_at > allowed:
                self._release(job)

    def _release(self, job: _Job) -> None:
        if job.out_fd < 0:
            return
        if self._jobs.pop(job.out_fd, None) is not None:
            self._epoll.unregister(job.out_fd)
        os.close(job.out_fd)
        job.out_fd = -1
        job.finish()


def _tell_nobody(sent_bytes: int) -> None:
    """For bodies that nobody counts."""


class Pumps:
    """The pump threads of a box. Use with `async with`; leaving it cuts every body short."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = [_PumpThread(number) for number in range(threads)]

    async def __aenter__(self) -> "Pumps":
        for thread in self._threads:
            thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for thread in self._threads:
            await asyncio.to_thread(thread.stop)

    @property
    def job_count(self) -> int:
        """Bodies under way."""
        return sum(each.load for each in self._threads)

    async def send(
        self,
        out_fd: int,
        file_fd: int,
        spans: AsyncIterator[Span],
        note_sent: Callable[[int], None] = _tell_nobody,
    ) -> int:
        """Send `spans` of a file to a socket in the clear: see `send_by`."""
        return await self.send_by(PlainOutlet(out_fd), file_fd, spans, note_sent)

    async def send_by(
        self,
        outlet: Outlet,
        file_fd: int,
        spans: AsyncIterator[Span],
        note_sent: Callable[[int], None] = _tell_nobody,
    ) -> int:
        """Send `spans` of a file through `outlet`, in order; return how many bytes went out.

        Fewer than the spans hold means that the peer is gone or took nothing for too long, or that
        the iterator ended early. `note_sent` is told by the pump's thread, after each turn, how
        many bytes went out in it; all of them by the time that this returns.

        Takes ownership of the outlet and its socket (a duplicate of the client's, non-blocking,
        with nothing left in any buffer before it) and closes that; `file_fd` stays the caller's and
        must stay open until this returns.
        """
        job = _Job(outlet, file_fd, note_sent, asyncio.get_running_loop())
        thread = min(self._threads, key=lambda each: each.load)
        thread.wake(job)
        try:
            async with asyncio.TaskGroup() as group:
                feeder = group.create_task(_feed(job, thread, spans))
                await asyncio.shield(job.done)
                feeder.cancel()
        finally:
            job.is_aborted = True
            if not job.done.done():
                thread.wake(job)
                await job.done
        return job.sent_bytes


async def _feed(job: _Job, thread: _PumpThread, spans: AsyncIterator[Span]) -> None:
    try:
        async for span in spans:
            job.queue.append(span)
            if job.is_parked:
                thread.wake(job)
    finally:
        job.is_ended = True
        thread.wake(job)
