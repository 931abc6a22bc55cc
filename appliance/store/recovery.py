"""At start: finish or sweep whatever an earlier life was in the middle of, and say so.

Theory of operation. Files are the truth, so everything is decided by comparing three lists (the
files, the index, the notes) and nothing by remembering what was going on. Every state between two
steps of publishing a blob or a manifest falls into one of these cases:

    blob file, no record          hashed again and recorded; where it is another's, withdrawn if
                                  a note says what of it is good, else quarantined
    blob record, no file          the record goes
    blob file of another size     quarantined, the record goes
    tag file, other in the index  the index follows; a move is recorded
    tag file, no sound manifest   the tag goes
    manifest that no tag names    goes
    checksums of no blob          go
    pending bytes, no sound note  go; a note without its bytes goes too
    drafts                        go

Recorded blobs are only looked up, not read: 10,000 of them are a fraction of a second. Unrecorded
ones are read, because a file somebody put there by hand was never verified. Where the whole index
had to be made anew no blob is recorded, and reading 10 TB before the first answer would be absurd;
then a name under `blobs/` is taken as proof, since only commit gives it, after verifying and
syncing the bytes. What a manifest knows is still asked: a file whose size is not the listed one
is quarantined. `verify` reads everything, whenever there is time for it.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import ManifestMalformedError, parse_manifest
from appliance.protocol.reference import Repository
from appliance.store.blobs import quarantine, record_of, take_back
from appliance.store.checksums import write_checksums
from appliance.store.encodings import decode_pending, decode_tag_file
from appliance.store.hashing import hash_file
from appliance.store.layout import tag_key
from appliance.store.ledger import Ledger
from appliance.store.listing import list_entries, list_files, read_name
from appliance.store.manifests import manifest_record, read_if_there, record_move
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord, ManifestRecord, PendingNote, TagRecord

type _Owned = tuple[Repository, Digest]
"""A manifest, in the repository it is stored under."""


class Recovery:
    """One recovery. `told` has a sentence for each thing that was done."""

    def __init__(self, premises: Premises, ledger: Ledger) -> None:
        self._premises = premises
        self._layout = premises.layout
        self._disk = premises.disk
        self._catalog = premises.catalog
        self._ledger = ledger
        self._is_index_new = premises.catalog.is_new
        self.told: list[str] = []

    def run(self) -> list[PendingNote]:
        """Set everything right; return what is pending and sound. Blocks."""
        self._sweep_drafts()
        self._settle_tags()
        self._settle_blobs()
        blob_count, tag_count = self._catalog.blob_count, self._catalog.tag_count
        if self._is_index_new and (blob_count or tag_count):
            self._tell(f"Rebuilt the index from the files: {blob_count} blobs, {tag_count} tags.")
        self._catalog.mark_settled()
        return self._settle_pending()

    def _tell(self, sentence: str) -> None:
        self.told.append(sentence)

    def _remove(self, path: Path, why: str) -> None:
        if not path.is_dir() and self._disk.remove(path):
            self._tell(f"Removed {path.relative_to(self._layout.root)}: {why}.")

    def _sweep_drafts(self) -> None:
        for path in self._layout.drafts.iterdir():
            self._remove(path, "it was never finished")

    # Tags and manifests.

    def _settle_tags(self) -> None:
        recorded = self._catalog.keyed_tags()
        known = {(each.repository, each.digest): each for each in self._catalog.manifests()}
        manifests: dict[_Owned, ManifestRecord] = {}
        tags = {}
        for key, tag in self._sound_tag_files():
            owner = (tag.reference.repository, tag.digest)
            manifest = manifests.get(owner) or self._sound_manifest(tag, known.get(owner))
            if manifest is None:
                self._remove(self._layout.tag(key), f"its manifest {tag.digest} is not sound")
                continue
            manifests[owner] = manifest
            tags[key] = self._as_recorded(tag, recorded.get(key))
        self._sweep_manifests({digest for _, digest in manifests})
        for key in sorted(recorded.keys() - tags.keys()):
            self._tell(f"Forgot the tag {key.encoded}: its file is gone.")
        if tags != recorded or manifests != known:
            self._catalog.settle(tags.values(), manifests.values())

    def _sound_tag_files(self) -> Iterator[tuple[Digest, TagRecord]]:
        for path, named in list_files(self._layout.tags, ".json"):
            content = read_if_there(path)
            tag = None if content is None else decode_tag_file(content)
            if tag is None or named is None or named != tag_key(tag.reference, tag.accept):
                self._remove(path, "it is not what its name says")
            else:
                yield named, tag

    def _sound_manifest(
        self, tag: TagRecord, known: ManifestRecord | None
    ) -> ManifestRecord | None:
        """What `tag` names. One the index knows is not read again until somebody asks for it."""
        path = self._layout.manifest(tag.digest)
        if known is not None and path.is_file() and path.stat().st_size == known.size_bytes:
            return known
        content = read_if_there(path)
        if content is None or digest_of(content) != tag.digest:
            return None
        try:
            manifest = parse_manifest(content)
        except ManifestMalformedError:
            return None
        return manifest_record(tag.reference.repository, tag.digest, content, manifest)

    def _as_recorded(self, tag: TagRecord, before: TagRecord | None) -> TagRecord:
        """The tag with what only the index knows of it; a move it does not know is told."""
        if before is not None and before.digest == tag.digest:
            return replace(tag, checked_at=before.checked_at)
        record_move(self._ledger, before, tag)
        if not self._is_index_new:
            self._tell(f"Recorded {tag.reference}, now {tag.digest}, as its file says.")
        return tag

    def _sweep_manifests(self, named: set[Digest]) -> None:
        for path, digest in list_files(self._layout.manifests):
            if digest is None or digest not in named:
                self._remove(path, "no tag names it")

    # Blobs.

    def _settle_blobs(self) -> None:
        records = {record.digest: record for record in self._catalog.blobs()}
        found = {
            digest: entry
            for entry, digest in list_entries(self._layout.blobs)
            if digest is not None
        }
        gone = [digest for digest in records if digest not in found]
        for digest in gone:
            self._tell(f"Forgot {digest}: its file is gone.")
        if gone:
            self._catalog.forget_blobs(gone)
        listed = self._listed_sizes() if self._is_index_new else {}
        proven = []
        for digest, entry in found.items():
            record = self._prove(entry, digest, records.get(digest), listed.get(digest))
            if record is not None and digest not in records:
                proven.append(record)
        self._record(proven)
        for entry, named in list_entries(self._layout.all_checksums):
            if named not in found:
                self._remove(Path(entry.path), "it is no blob's checksums")

    def _listed_sizes(self) -> dict[Digest, int]:
        return {digest: size for each in self._catalog.manifests() for digest, size in each.blobs}

    def _prove(
        self,
        entry: "os.DirEntry[str]",
        digest: Digest,
        known: BlobRecord | None,
        listed_bytes: int | None,
    ) -> BlobRecord | None:
        """The record that the file deserves; None, and quarantine, where it deserves none."""
        record = record_of(digest, entry.stat())
        if known is not None:
            is_sound = record.size_bytes == known.size_bytes
        elif self._is_index_new:
            is_sound = listed_bytes is None or record.size_bytes == listed_bytes
        else:
            is_sound = self._verify(Path(entry.path), digest)
        if is_sound:
            return record
        self._catalog.forget_blobs([digest])
        if self._is_withdrawn(record):
            take_back(self._layout, self._disk, digest)
            self._tell(f"Withdrew {digest}: some of its bytes are to be fetched again.")
            return None
        quarantine(self._layout, self._disk, digest, Path(entry.path))
        self._tell(f"Quarantined {digest}: its {record.size_bytes} bytes are other ones.")
        return None

    def _is_withdrawn(self, record: BlobRecord) -> bool:
        """Whether a note says which bytes of this blob are good, and where they were to go."""
        content = read_if_there(self._layout.pending_note(record.digest))
        note = None if content is None else decode_pending(content)
        if note is None or self._layout.pending_bytes(record.digest).exists():
            return False
        return note.digest == record.digest and note.size_bytes == record.size_bytes

    def _verify(self, path: Path, digest: Digest) -> bool:
        """Hash the file; keep the checksums of what is found right."""
        try:
            hashed = hash_file(path)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False  # A bad sector under a blob must not keep the box from starting.
        if hashed.digest() != digest:
            return False
        write_checksums(self._premises, digest, hashed.checksums())
        return True

    def _record(self, proven: list[BlobRecord]) -> None:
        if not proven:
            return
        self._catalog.record_blobs(proven)
        if self._is_index_new:
            return
        for record in proven:
            self._tell(f"Recorded {record.digest} ({record.size_bytes} bytes): it was complete.")

    # Pending blobs.

    def _settle_pending(self) -> list[PendingNote]:
        files = sorted(self._layout.pending.iterdir())
        named = {path: read_name(path.name.removesuffix(".json")) for path in files}
        notes = [self._sound_note(digest) for digest in {*named.values()} if digest is not None]
        sound = {note.digest: note for note in notes if note is not None}
        for path, digest in named.items():
            if digest not in sound:
                self._remove(path, "it is no blob's bytes with a sound note of those held")
        return list(sound.values())

    def _sound_note(self, digest: Digest) -> PendingNote | None:
        if self._catalog.find_blob(digest) is not None:
            return None
        path, content = (
            self._layout.pending_bytes(digest),
            read_if_there(self._layout.pending_note(digest)),
        )
        if content is None or not path.is_file():
            return None
        note, size_bytes = decode_pending(content), path.stat().st_size
        if note is None or note.digest != digest or note.size_bytes != size_bytes or not note.held:
            return None
        return note
