"""A client's socket out of an event loop's hands, for a pump to write to."""

import asyncio
import os
from collections.abc import Awaitable, Callable


async def take_socket(
    transport: asyncio.WriteTransport | None, drain: Callable[[], Awaitable[None]]
) -> int:
    """A duplicate of the client's socket, with nothing buffered before it; the caller closes it.

    `drain` is that of the transport's writer. The loop must write nothing while a pump has the
    duplicate. Raises ConnectionResetError if the client is gone.
    """
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    transport.set_write_buffer_limits(high=0)
    try:
        await drain()
    finally:
        if not transport.is_closing():  # uvloop's, once closed, takes no more orders.
            transport.set_write_buffer_limits()
    if transport.is_closing() or transport.get_write_buffer_size() > 0:
        raise ConnectionResetError("the client is gone")
    return os.dup(transport.get_extra_info("socket").fileno())
