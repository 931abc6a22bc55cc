"""What the soak's registry offers: models of every shape, few of them in fashion at a time."""

import random
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from appliance.demo.models import (
    CONFIG_TYPE,
    LAYER_TYPE_PREFIX,
    MODEL_TYPE,
    TENSOR_TYPE,
    DemoBlob,
    DemoModel,
    assemble,
    blocks,
    write_blob,
)
from appliance.policy.fillplan import SMALL_SIZE_BYTES
from appliance.protocol.reference import parse_model_name

MODELS_COUNT = 24
WEIGHTS_BYTES = (
    (300_000,),
    (2_000_000,),
    (6_000_000, 1_000_000),
    (12_000_000,),
    (SMALL_SIZE_BYTES + 3_000_000,),  # Planned, over many connections.
)
SHARD_BYTES, SHARD_COUNT = 60_000, 40
SHARED_BYTES = 1_500_000  # One blob that every other model lists.
FASHION_COUNT = 4  # Models that people want at one time; the box keeps what was read a minute ago.
FASHION_SECONDS = 10.0  # Until one of them gives way to the next.


def write_catalogue(directory: Path) -> list[DemoModel]:
    """Write the blobs of all models. Blocks; the same bytes on every run."""
    shared = write_blob(directory, LAYER_TYPE_PREFIX + "adapter", blocks("shared", SHARED_BYTES))
    return [_write_model(directory, number, shared) for number in range(MODELS_COUNT)]


def is_of_tensors(model: DemoModel) -> bool:
    """Whether only clients of tensor models pull it."""
    return any(each.descriptor.media_type == TENSOR_TYPE for each in model.blobs)


class Fashion:
    """Which models people want, by the seconds since the soak began."""

    def __init__(self, models: Sequence[DemoModel]) -> None:
        self._models = models

    def wanted(self, seconds: float) -> list[DemoModel]:
        """The models in fashion."""
        first = int(seconds / FASHION_SECONDS)
        return [self._models[(first + n) % len(self._models)] for n in range(FASHION_COUNT)]

    def choose(self, seconds: float, rng: random.Random, *, tensors: bool) -> DemoModel:
        """One of those in fashion that a client may pull; the next one to come, where none is."""
        wanted = [each for each in self.wanted(seconds) if tensors or not is_of_tensors(each)]
        assert wanted, "no two models of tensors come one after the other"
        return rng.choice(wanted)


def _write_model(directory: Path, number: int, shared: DemoBlob) -> DemoModel:
    name = f"soaked-{number}"
    kinds = len(WEIGHTS_BYTES) + 1
    if number % kinds == len(WEIGHTS_BYTES):
        kind, sizes = TENSOR_TYPE, [SHARD_BYTES] * SHARD_COUNT
    else:
        kind, sizes = MODEL_TYPE, list(WEIGHTS_BYTES[number % kinds])
    layers = [
        write_blob(directory, kind, blocks(f"{name} {layer}", size_bytes))
        for layer, size_bytes in zip(count(), sizes, strict=False)
    ]
    config = write_blob(directory, CONFIG_TYPE, iter([f'{{"name":"{name}"}}'.encode()]))
    layers += [shared] if number % 2 else []
    return assemble(parse_model_name(name).repository, ["latest"], layers, config)
