"""That what `make fuzz` runs for long is sound for a moment."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.parsers import PARSERS, SEEDS


@pytest.mark.parametrize("name", PARSERS)
def test_any_bytes_leave_a_parser_standing(name: str) -> None:
    seeds = SEEDS.get(name, (b"\0",))

    @given(st.binary(max_size=300) | st.tuples(st.sampled_from(seeds), changes()).map(change))
    @example(seeds[0])
    def holds(content: bytes) -> None:
        PARSERS[name](content)

    holds()


Changes = list[tuple[int, int]]


def changes() -> st.SearchStrategy[Changes]:
    return st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6)


def change(drawn: tuple[bytes, Changes]) -> bytes:
    """A seed with some of its bytes other ones."""
    content = bytearray(drawn[0])
    for at, byte in drawn[1]:
        content[at % len(content)] = byte
    return bytes(content)


def test_seeds_are_for_parsers_that_there_are() -> None:
    assert SEEDS.keys() <= PARSERS.keys()
