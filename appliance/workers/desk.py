"""The box's end of a line: what a worker asks is answered here, one thing after another."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass

from appliance.cache.readers import Reader
from appliance.policy.addresses import AddressRefusedError
from appliance.registry.requests import Answer, Answering, BlobAnswer, PassThrough
from appliance.upstream.resolver import NameUnresolvableError
from appliance.upstream.source import OriginUnreachableError
from appliance.workers.lines import CONTENT_BYTES_MAX, Line, LineGoneError, Message
from appliance.workers.words import format_blob_head, parse_request

_log = logging.getLogger("workers")


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers for the registry, and resolves the origin's name for what passes through."""

    registry: Answering
    resolve: Callable[[str], Awaitable[tuple[str, ...]]]

    async def serve(self, line: Line) -> None:
        """Answer until the worker closes the line, which then is closed here, too.

        A fault of ours is logged, and closes the line: the worker tells its client.
        """
        with closing(line):
            try:
                while not await self._answer(line, await line.receive()):
                    pass
            except LineGoneError:
                return  # The worker is done with it, or gone.
            except Exception:  # noqa: BLE001  # The last one to see it; other lines go on.
                _log.exception("a request that came by a worker failed")

    async def _answer(self, line: Line, asked: Message) -> bool:
        """Answer once. True: the line is used up."""
        if "resolve" in asked.words:
            await self._resolve(line, asked.words["resolve"])
            return False
        match await self.registry.answer(parse_request(asked.words)):
            case Answer() as answer:
                await _send_answer(line, answer)
            case PassThrough():
                await line.send({"pass": True})
            case BlobAnswer() as answer:
                await _send_blob(line, answer)
                return True
        return False

    async def _resolve(self, line: Line, name: str) -> None:
        try:
            await line.send({"addresses": await self.resolve(name)})
        except (AddressRefusedError, NameUnresolvableError) as error:
            await line.send({"unresolved": str(error), "hint": error.hint})


async def _send_answer(line: Line, answer: Answer) -> None:
    content = answer.content
    head = {"answer": answer.status, "fields": dict(answer.fields), "size": len(content)}
    await line.send(head, content[:CONTENT_BYTES_MAX])
    for start in range(CONTENT_BYTES_MAX, len(content), CONTENT_BYTES_MAX):
        await line.send({}, content[start : start + CONTENT_BYTES_MAX])


async def _send_blob(line: Line, answer: BlobAnswer) -> None:
    """Send the head, then spans as they become readable; count what the worker sends."""
    reader = answer.reader
    try:
        head = format_blob_head(answer.status, answer.fields, reader)
        await line.send(head, fd=reader.file_fd)
        reader.on_spoilt(lambda: _tell_spoilt(line))
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(_feed(line, reader))
            with suppress(LineGoneError):
                while True:
                    told = (await line.receive()).words
                    if "sent" in told:
                        reader.note_sent(told["sent"])
                    else:
                        await feeding  # The worker asks for the rest once the spans have ended.
                        feeding = group.create_task(_stream(line, reader, told["stream"]))
            feeding.cancel()
    finally:
        reader.close()


def _tell_spoilt(line: Line) -> None:
    line.tell({"spoilt": True})


async def _feed(line: Line, reader: Reader) -> None:
    with suppress(LineGoneError):
        async for span in reader.spans():
            await line.send({"span": [span.start, span.stop]})
        await line.send({"end": reader.is_streamable()})


async def _stream(line: Line, reader: Reader, start: int) -> None:
    with suppress(LineGoneError):
        try:
            async for chunk in reader.chunks(start):
                for at in range(0, len(chunk), CONTENT_BYTES_MAX):
                    await line.send({"chunk": True}, chunk[at : at + CONTENT_BYTES_MAX])
            await line.send({"over": True})
        except OriginUnreachableError as error:
            await line.send({"broken": str(error)})
