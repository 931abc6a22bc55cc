"""Every client finds a model in fashion, whenever it looks."""

import random
from pathlib import Path

from tests.soak.catalogue import FASHION_SECONDS, MODELS_COUNT, Fashion, is_of_tensors
from tests.soak.catalogue import write_catalogue as write


def test_there_is_always_a_model_for_everybody(tmp_path: Path) -> None:
    models = write(tmp_path)
    assert any(is_of_tensors(each) for each in models)
    fashion = Fashion(models)
    rng = random.Random(7)
    for turn in range(MODELS_COUNT):
        seconds = turn * FASHION_SECONDS
        assert not is_of_tensors(fashion.choose(seconds, rng, tensors=False))
        assert fashion.choose(seconds, rng, tensors=True) in fashion.wanted(seconds)
