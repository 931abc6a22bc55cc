"""Boxes that start, or say why not."""

from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from appliance.config import Config
from appliance.startup import START_FAULTS, start


def as_default(config: Config, section: str, key: str) -> Config:
    """The same value, as if nobody had set it."""
    settings = {each: value for each, value in config.settings.items() if each != (section, key)}
    return replace(config, settings=settings)


async def started(config: Config, said: list[str]) -> tuple[int, ...]:
    """Start a box and stop it; its DNS, TLS and web ports."""
    async with AsyncExitStack() as stack:
        box = await start(stack, config, said.append)
        dns = box.engine.responder.listening[0][1] if box.engine.responder else 0
        return (dns, box.ground.tls.port, *(each.port for each in box.ground.web))


async def fault_of(config: Config) -> Exception:
    """What keeps a box from starting; whatever it is, nothing is left behind."""
    with pytest.raises(START_FAULTS) as caught:
        await started(config, [])
    fault: Exception = caught.value
    assert fault.hint  # type: ignore[attr-defined]
    return fault
