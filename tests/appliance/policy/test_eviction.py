"""Eviction: examples a person can check, and an oracle that counts blobs by hand."""

from collections.abc import Collection, Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.eviction import Eviction, Holding, plan_eviction, plan_removal
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.reference import Reference, Repository

A, B, C, SHARED, LOOSE = (digest_of(bytes([number])) for number in range(5))
HELD = {A: 100, B: 200, C: 300, SHARED: 1000, LOOSE: 7}


def holding(
    name: str, *blobs: Digest, used_at: float = 0, is_named: bool = True, is_pinned: bool = False
) -> Holding:
    repository = Repository("library", name)
    names = frozenset({Reference(repository, "latest")} if is_named else ())
    return Holding(repository, digest_of(name.encode()), blobs, used_at, names, is_pinned=is_pinned)


def evict(
    holdings: Sequence[Holding],
    wanted_bytes: int,
    *,
    held: Mapping[Digest, int] | None = None,
    kept: Collection[Digest] = (),
) -> Eviction:
    """`held` is what the holdings list, where it goes unsaid."""
    if held is None:
        held = {blob: HELD[blob] for each in holdings for blob in each.blobs}
    return plan_eviction(holdings, held, kept=kept, wanted_bytes=wanted_bytes)


OLD = holding("old", A, SHARED, used_at=1)
NEW = holding("new", B, SHARED, used_at=2)
NEWEST = holding("newest", C, LOOSE, used_at=3)
ALL = (NEWEST, OLD, NEW)


def test_nothing_goes_where_nothing_is_wanted() -> None:
    assert evict(ALL, 0) == Eviction((), (), 0)


def test_the_least_recently_pulled_goes_first() -> None:
    assert evict(ALL, 100) == Eviction((OLD,), (A,), 100)


def test_a_shared_blob_goes_with_the_last_that_lists_it_and_counts_once() -> None:
    found = evict(ALL, 1201)
    assert found.holdings == (OLD, NEW)
    assert set(found.blobs) == {A, B, SHARED}
    assert found.freed_bytes == 1300


def test_a_blob_that_nobody_lists_goes_before_any_model() -> None:
    assert evict((OLD, NEW), 5, held=HELD) == Eviction((), (C, LOOSE), 307)


def test_a_manifest_that_its_tag_has_left_goes_before_what_is_named() -> None:
    left = holding("left", B, used_at=9, is_named=False)
    assert evict((OLD, NEWEST, left), 100).holdings == (left,)


def test_a_pinned_model_stays_and_so_does_what_it_shares() -> None:
    pinned = holding("pinned", A, SHARED, used_at=0, is_pinned=True)
    found = evict((pinned, NEW, NEWEST), 10**9)
    assert set(found.holdings) == {NEW, NEWEST}
    assert not {A, SHARED} & set(found.blobs)


def test_a_model_of_which_a_blob_is_in_use_stays_whole() -> None:
    found = evict(ALL, 10**9, kept=[A])
    assert OLD not in found.holdings
    assert not {A, SHARED} & set(found.blobs)


def test_an_alias_whose_blobs_another_keeps_is_not_taken_in_vain() -> None:
    alias = holding("alias", C, LOOSE, used_at=0)
    pinned = holding("pinned", C, LOOSE, is_pinned=True)
    assert evict((alias, pinned, OLD), 100).holdings == (OLD,)


def test_a_small_model_is_spared_where_a_larger_one_must_go_anyway() -> None:
    small, large = holding("small", A, used_at=1), holding("large", C, used_at=2)
    assert evict((small, large), 250).holdings == (large,)


def test_where_there_is_too_little_all_that_may_go_does() -> None:
    found = evict(ALL, 10**12)
    assert found.holdings == (OLD, NEW, NEWEST)
    assert (set(found.blobs), found.freed_bytes) == (set(HELD), sum(HELD.values()))


def test_a_blob_that_is_listed_and_not_held_frees_nothing() -> None:
    assert evict((OLD,), 10**6, held={}) == Eviction((), (), 0)


def test_removing_a_model_frees_only_what_no_other_lists() -> None:
    found = plan_removal(ALL, HELD, kept=(), removed=[OLD])
    assert found == Eviction((OLD,), (A,), 100)


def test_removing_several_frees_what_they_share() -> None:
    found = plan_removal(ALL, HELD, kept=(), removed=[OLD, NEW])
    assert found.freed_bytes == 1300


DIGESTS = [digest_of(bytes([number])) for number in range(6)]


@st.composite
def stores(draw: st.DrawFn) -> tuple[list[Holding], dict[Digest, int], set[Digest]]:
    count = draw(st.integers(0, 6))
    made = [
        holding(
            f"m{number}",
            *draw(st.lists(st.sampled_from(DIGESTS), max_size=4)),
            used_at=draw(st.integers(0, 5)),
            is_named=draw(st.booleans()),
            is_pinned=draw(st.booleans()),
        )
        for number in range(count)
    ]
    held = draw(st.dictionaries(st.sampled_from(DIGESTS), st.integers(1, 50)))
    return made, held, draw(st.sets(st.sampled_from(DIGESTS), max_size=2))


def listed(holdings: Collection[Holding]) -> set[Digest]:
    return {blob for each in holdings for blob in each.blobs}


def freed_by(
    holdings: list[Holding], held: dict[Digest, int], kept: set[Digest], gone: Collection[Holding]
) -> set[Digest]:
    """The oracle: what is held, and neither kept nor listed by anything that stays."""
    return set(held) - kept - listed([each for each in holdings if each not in gone])


@given(stores(), st.integers(0, 300))
def test_what_goes_is_neither_pinned_nor_in_use_nor_listed_by_what_stays(
    store: tuple[list[Holding], dict[Digest, int], set[Digest]], wanted_bytes: int
) -> None:
    holdings, held, kept = store
    found = plan_eviction(holdings, held, kept=kept, wanted_bytes=wanted_bytes)
    assert not any(each.is_pinned or kept & set(each.blobs) for each in found.holdings)
    assert set(found.blobs) == freed_by(holdings, held, kept, found.holdings)
    assert found.freed_bytes == sum(held[each] for each in found.blobs)


@given(stores(), st.integers(0, 300))
def test_it_frees_enough_or_all_that_may_go_and_no_holding_goes_in_vain(
    store: tuple[list[Holding], dict[Digest, int], set[Digest]], wanted_bytes: int
) -> None:
    holdings, held, kept = store
    found = plan_eviction(holdings, held, kept=kept, wanted_bytes=wanted_bytes)
    may_go = [each for each in holdings if not each.is_pinned and not kept & set(each.blobs)]
    most_bytes = sum(held[each] for each in freed_by(holdings, held, kept, may_go))
    enough_bytes = min(wanted_bytes, most_bytes)
    assert found.freed_bytes >= enough_bytes
    for spared in found.holdings:
        gone = [each for each in found.holdings if each is not spared]
        left = sum(held[each] for each in freed_by(holdings, held, kept, gone))
        assert left < enough_bytes
