"""The janitor against a model: whatever comes in whatever order, only what may go goes."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.cache.janitor import Janitor, PinnedError, UnknownModelError
from appliance.cache.tally import Tally
from appliance.policy.eviction import Budget
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.reference import Reference
from appliance.store.faults import StoreFullError
from appliance.store.pending import PendingBlob
from appliance.store.store import open_store
from tests.appliance.store.samples import NOON, TINY, manifest_of, tag_of

MAX_SIZE_BYTES = 4000
CONTENTS = [bytes([number]) * size for number, size in enumerate((500, 900, 1300, 700, 1100, 300))]
NAMES = st.sampled_from(["a", "b", "c", "d"])
BLOBS = st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=3, unique=True)


class JanitorAgainstModel(RuleBasedStateMachine):
    """Models share blobs; some are pinned, read, or still arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.home = TemporaryDirectory()
        self.store = open_store(Path(self.home.name) / "state")
        self.filling: dict[Digest, PendingBlob] = {}
        self.janitor = Janitor(
            self.store,
            budget=lambda: Budget(min_free_bytes=0, max_size_bytes=MAX_SIZE_BYTES),
            filling=lambda: tuple(self.filling),
            own=(),
            tally=Tally(),
        )
        self.models: dict[Reference, tuple[bytes, ...]] = {}
        self.pinned: set[Reference] = set()
        self.used: set[Digest] = set()
        self.at = NOON

    def teardown(self) -> None:
        for pending in self.filling.values():
            pending.cancel()
        self.store.close()
        self.home.cleanup()

    @rule(name=NAMES, blobs=BLOBS)
    def publish(self, name: str, blobs: list[bytes]) -> None:
        reference, content = Reference(TINY, name), manifest_of(*blobs)
        self.at += 1
        asyncio.run(
            self.store.write_manifest(tag_of(content, reference, stored_at=self.at), content)
        )
        self.models[reference] = tuple(blobs)

    @rule(name=NAMES, blobs=BLOBS)
    def pull(self, name: str, blobs: list[bytes]) -> None:
        """All of a model, as a client does."""
        self.publish(name, blobs)
        for content in blobs:
            self.fill(content)
            self.arrive(content, is_whole=True)

    @rule(content=st.sampled_from(CONTENTS))
    def fill(self, content: bytes) -> None:
        """Begin a fill as the cache does: with room made for it, or not at all."""
        digest = digest_of(content)
        if digest in self.filling or self.store.find_blob(digest):
            return
        held_before = self.held()
        try:
            pending = self.begin(content)
        except StoreFullError as fault:
            if not asyncio.run(self.janitor.make_room(fault.needed_bytes)):
                assert self.held() == held_before, "what cannot be enough lets nothing go"
                return
            pending = self.begin(content)
        self.filling[digest] = pending

    def begin(self, content: bytes) -> PendingBlob:
        return self.store.begin(
            digest_of(content),
            len(content),
            TINY,
            min_free_bytes=0,
            max_size_bytes=MAX_SIZE_BYTES,
        )

    @rule(content=st.sampled_from(CONTENTS), is_whole=st.booleans())
    def arrive(self, content: bytes, *, is_whole: bool) -> None:
        pending = self.filling.pop(digest_of(content), None)
        if pending is None:
            return
        if is_whole:
            pending.write(0, content)
            pending.commit(stored_at=self.at)
        else:
            pending.write(0, content[:100])
            pending.suspend()

    @rule(name=NAMES)
    def pin(self, name: str) -> None:
        self.store.pin(Reference(TINY, name))
        self.pinned.add(Reference(TINY, name))

    @rule(name=NAMES)
    def unpin(self, name: str) -> None:
        self.store.unpin(Reference(TINY, name))
        self.pinned.discard(Reference(TINY, name))

    @rule(content=st.sampled_from(CONTENTS))
    def use(self, content: bytes) -> None:
        if self.store.find_blob(digest_of(content)):
            self.janitor.note_used(digest_of(content))
            self.used.add(digest_of(content))

    @rule()
    def time_passes(self) -> None:
        self.janitor._used_at.clear()
        self.used.clear()

    @rule(wanted_bytes=st.integers(0, 5000))
    def evict(self, wanted_bytes: int) -> None:
        """A used blob that a model lists stays; so does one that a pin needs."""
        kept = self.held() & self.kept()
        asyncio.run(self.janitor.evict(wanted_bytes))
        assert kept <= self.held(), "what is pinned, read or arriving went"

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        try:
            asyncio.run(self.janitor.remove(Reference(TINY, name)))
        except PinnedError:
            assert Reference(TINY, name) in self.pinned
        except UnknownModelError:
            assert not any(Reference(TINY, name) in each.names for each in self.store.holdings())

    @rule()
    def collect(self) -> None:
        named = {
            blob for each in self.store.holdings() if each.names for blob in each.blobs
        } & self.held()
        asyncio.run(self.janitor.collect())
        assert named <= self.held(), "what a tag still needs went"

    def held(self) -> set[Digest]:
        return {each.digest for each in self.store.blobs()}

    def kept(self) -> set[Digest]:
        pinned = {digest_of(b) for name in self.pinned for b in self.models.get(name, ())}
        return pinned | self.used

    @invariant()
    def it_is_within_its_budget(self) -> None:
        stats = self.store.stats()
        promised_bytes = stats.pending_held_bytes + stats.reserved_bytes
        assert stats.blob_size_bytes + promised_bytes <= MAX_SIZE_BYTES

    @invariant()
    def what_arrives_is_left_alone(self) -> None:
        for digest, pending in self.filling.items():
            assert (Path(self.home.name) / "state" / "pending" / digest.encoded).exists()
            assert pending.size_bytes


TestJanitorAgainstModel = JanitorAgainstModel.TestCase
TestJanitorAgainstModel.settings = settings(
    deadline=None,
    max_examples=15,
    stateful_step_count=30,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # To shrink one takes minutes of disk.
)
