"""Models, as a person sees them: a tag, its manifest, and how much of it is here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from appliance.policy.eviction import Holding
from appliance.protocol.digest import Digest
from appliance.protocol.reference import Reference, Repository
from appliance.store.catalog import Catalog
from appliance.store.ledger import Ledger
from appliance.store.records import ManifestRecord, Pulls, TagRecord


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One tag, whatever Accept it was asked with; `digest` is its latest manifest's.

    `held_size_bytes` counts blobs that are complete and what has come of those that are pending.
    """

    reference: Reference
    digest: Digest
    total_size_bytes: int
    held_size_bytes: int
    is_complete: bool
    stored_at: float
    last_pulled_at: float | None
    pulls: int
    is_pinned: bool = False


def list_models(
    catalog: Catalog, ledger: Ledger, pending_size_of: Callable[[Digest], int]
) -> list[ModelRow]:
    """Every tag that is stored, in the order of names. References by digest are no models."""
    manifests = {(each.repository, each.digest): each for each in catalog.manifests()}
    held = {record.digest for record in catalog.blobs()}
    pulls, pins = ledger.pulls(), ledger.pins()
    rows = []
    for tag in _latest_by_tag(catalog.tags()):
        manifest = manifests.get((tag.reference.repository, tag.digest))
        if manifest is None:
            continue
        pulled = pulls.get(str(tag.reference))
        rows.append(
            ModelRow(
                tag.reference,
                tag.digest,
                manifest.total_size_bytes,
                _held_size_bytes(manifest, held, pending_size_of),
                all(digest in held or not size_bytes for digest, size_bytes in manifest.blobs),
                tag.stored_at,
                pulled.last_at if pulled else None,
                pulled.count if pulled else 0,
                str(tag.reference) in pins,
            )
        )
    return rows


def list_holdings(catalog: Catalog, ledger: Ledger) -> list[Holding]:
    """Every stored manifest, in each repository that has it, as eviction sees it."""
    pulls, pins = ledger.pulls(), ledger.pins()
    naming: dict[tuple[Repository, Digest], list[TagRecord]] = {}
    for tag in catalog.tags():
        naming.setdefault((tag.reference.repository, tag.digest), []).append(tag)
    return [
        Holding(
            each.repository,
            each.digest,
            tuple(digest for digest, _ in each.blobs),
            max((_used_at(tag, pulls) for tag in tags), default=0.0),
            frozenset(tag.reference for tag in tags),
            is_pinned=any(str(tag.reference) in pins for tag in tags),
        )
        for each in catalog.manifests()
        for tags in (naming.get((each.repository, each.digest), []),)
    ]


def _used_at(tag: TagRecord, pulls: Mapping[str, Pulls]) -> float:
    pulled = pulls.get(str(tag.reference))
    return max(tag.stored_at, pulled.last_at if pulled else 0.0)


def _latest_by_tag(tags: Iterable[TagRecord]) -> list[TagRecord]:
    latest: dict[str, TagRecord] = {}
    for tag in sorted(tags, key=lambda each: (each.stored_at, each.accept)):
        if tag.reference.tag is not None:
            latest[str(tag.reference)] = tag
    return [latest[name] for name in sorted(latest)]


def _held_size_bytes(
    manifest: ManifestRecord, held: set[Digest], pending_size_of: Callable[[Digest], int]
) -> int:
    return sum(
        size_bytes if digest in held else min(size_bytes, pending_size_of(digest))
        for digest, size_bytes in manifest.blobs
    )
