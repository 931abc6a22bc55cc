"""Which models to let go when space is wanted: the least recently pulled, whole, and no more.

Theory of operation. What is stored is seen as holdings: manifests, each with the blobs it lists. A
blob that several holdings list is freed only with the last of them, and counted once. First go
blobs that no manifest lists, then manifests that a tag has left, then models by when they were last
pulled. A pinned holding stays, and so does one of which a blob is in use: it is being pulled.

Taking the oldest first may take some in vain: one whose blobs others share, or a small one before a
large one that would have done alone. So the choice is gone through again from its most recently
used end, and every holding that need not go after all is spared.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from appliance.protocol.digest import Digest
from appliance.protocol.reference import Reference, Repository


@dataclass(frozen=True, slots=True)
class Holding:
    """A manifest as `repository` has it, and the references that name it still.

    `used_at` is when it was last stored or pulled.
    """

    repository: Repository
    digest: Digest
    blobs: tuple[Digest, ...]
    used_at: float
    names: frozenset[Reference] = frozenset()
    is_pinned: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """In bytes: what stays free on the file system, and what the store holds at most."""

    min_free_bytes: int
    max_size_bytes: int

    def excess_bytes(self, *, used_bytes: int, spare_bytes: int) -> int:
        """How much must go where `used_bytes` are stored or promised, and `spare_bytes` are free.

        Zero or less where nothing need go.
        """
        return max(used_bytes - self.max_size_bytes, self.min_free_bytes - spare_bytes)


@dataclass(frozen=True, slots=True)
class Eviction:
    """What to let go, in this order: the holdings, then the blobs. Sizes in bytes."""

    holdings: tuple[Holding, ...]
    blobs: tuple[Digest, ...]
    freed_bytes: int


class _Choice:
    """Holdings taken out one by one, and what that frees."""

    def __init__(
        self, holdings: Iterable[Holding], held: Mapping[Digest, int], kept: Collection[Digest]
    ) -> None:
        self._held = {digest: size for digest, size in held.items() if digest not in kept}
        self._users = Counter(blob for each in holdings for blob in set(each.blobs))
        self.taken: list[Holding] = []
        self.freed_bytes = sum(self._held[each] for each in self.freed())

    def freed(self) -> tuple[Digest, ...]:
        return tuple(each for each in self._held if self._users[each] == 0)

    def take(self, holding: Holding) -> None:
        self.taken.append(holding)
        for blob in set(holding.blobs):
            self._users[blob] -= 1
            if self._users[blob] == 0:
                self.freed_bytes += self._held.get(blob, 0)

    def spare(self, holding: Holding) -> None:
        self.taken.remove(holding)
        for blob in set(holding.blobs):
            if self._users[blob] == 0:
                self.freed_bytes -= self._held.get(blob, 0)
            self._users[blob] += 1

    def end(self) -> Eviction:
        return Eviction(tuple(sorted(self.taken, key=_turn)), self.freed(), self.freed_bytes)


def plan_eviction(
    holdings: Sequence[Holding],
    held: Mapping[Digest, int],
    *,
    kept: Collection[Digest],
    wanted_bytes: int,
) -> Eviction:
    """Choose what frees `wanted_bytes`, or, where there is not so much, all that may go.

    `held` are the complete blobs with their sizes; `kept` are those that somebody reads or fills,
    and others that must not go now. Blobs that nobody lists go in any case.
    """
    choice = _Choice(holdings, held, kept)
    for holding in sorted(holdings, key=_turn):
        if choice.freed_bytes >= wanted_bytes:
            break
        if not holding.is_pinned and not any(blob in kept for blob in holding.blobs):
            choice.take(holding)
    _spare_the_needless(choice, wanted_bytes)
    return choice.end()


def plan_removal(
    holdings: Sequence[Holding],
    held: Mapping[Digest, int],
    *,
    kept: Collection[Digest],
    removed: Collection[Holding],
) -> Eviction:
    """What letting go of exactly `removed` frees: the blobs that nothing else lists."""
    choice = _Choice(holdings, held, kept)
    for holding in removed:
        choice.take(holding)
    return choice.end()


def _spare_the_needless(choice: _Choice, wanted_bytes: int) -> None:
    enough_bytes = min(wanted_bytes, choice.freed_bytes)
    for holding in reversed(tuple(choice.taken)):
        choice.spare(holding)
        if choice.freed_bytes < enough_bytes:
            choice.take(holding)


def _turn(holding: Holding) -> tuple[bool, float]:
    return bool(holding.names), holding.used_at
