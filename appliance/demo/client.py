"""An emulated Ollama client: pulls a model as `ollama pull` does, and fails where that fails.

It blocks; run it in a thread. Its directory has the layout of Ollama's own model store, with
partial downloads in it, so a pull that was interrupted goes on in the next one.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.demo.chunks import ChunkedDownload, make_token
from appliance.demo.conversation import Conversation, Identity, PullError
from appliance.demo.deposit import DigestMismatchError
from appliance.demo.download import BlobResult, Download, Progress
from appliance.demo.habits import Habits, Surroundings
from appliance.demo.lifeline import Lifeline
from appliance.demo.models import TENSOR_TYPE
from appliance.demo.targets import Targets
from appliance.demo.tensors import TensorPull
from appliance.demo.urls import Url, WireError, parse_url
from appliance.demo.wire import Dialer
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import (
    MANIFEST_TYPE,
    Descriptor,
    ManifestMalformedError,
    parse_manifest,
)
from appliance.protocol.reference import Reference, parse_model_name

REGISTRY_NAME = "registry.ollama.ai"


@dataclass(frozen=True, slots=True)
class Pull:
    """What a pull took."""

    manifest: Digest
    seconds: float
    blobs: tuple[BlobResult, ...]

    @property
    def received_bytes(self) -> int:
        """Blob bytes that came in, also those thrown away."""
        return sum(each.received_bytes for each in self.blobs)

    @property
    def longest_silence_seconds(self) -> float:
        """The longest that any part waited for its first byte, or between two."""
        return max((each.longest_silence_seconds for each in self.blobs), default=0.0)

    @property
    def sha256_ok(self) -> bool:
        """Whether all that was downloaded is what it should be.

        It was hashed from disk, or every byte compared where nothing is kept.
        """
        return all(each.is_verified for each in self.blobs if not each.was_present)


class Client:
    """One machine's Ollama server. Pulls one model at a time."""

    def __init__(
        self,
        directory: Path,
        surroundings: Surroundings,
        habits: Habits | None = None,
        identity: Identity | None = None,
        originals: Mapping[Digest, Path] | None = None,
    ) -> None:
        """With `originals`, files of blobs as published, parts are compared and not kept."""
        self._directory = directory
        self._habits = habits or Habits()
        self._surroundings = surroundings
        self._dialer = Dialer(surroundings)
        self._identity = identity
        self._originals = originals or {}
        self._lifeline = Lifeline()

    def interrupt(self) -> None:
        """End the pull that runs, as Ctrl-C does: what came so far is kept. From any thread."""
        self._lifeline.cut()

    def blob_path(self, digest: Digest) -> Path:
        """Where a blob lies once it is downloaded."""
        return self._directory / "blobs" / f"sha256-{digest.encoded}"

    def manifest_path(self, name: str) -> Path:
        """Where a model's manifest lies once it is pulled."""
        host, reference = split_name(name)
        repository = reference.repository
        folder = self._directory / "manifests" / host / repository.namespace / repository.model
        return folder / str(reference.target)

    def pull(self, name: str, *, insecure: bool = False, progress: Progress | None = None) -> Pull:
        """Pull `name`: `model`, `namespace/model` or `host[:port]/namespace/model`, and `:tag`.

        `insecure` means plain http, as `ollama pull --insecure` does.

        Raises:
            PullError: with the sentence that Ollama prints.
            InterruptedPullError: after `interrupt()`.
        """
        self._lifeline = Lifeline()
        began = time.monotonic()
        host, reference = split_name(name)
        base = parse_url(f"{'http' if insecure else 'https'}://{host}/v2/{reference.repository}")
        agent, identity = self._habits.user_agent, self._identity
        token = make_token(identity) if identity and self._habits.has_chunksums else None
        with Conversation(self._dialer, agent, self._lifeline, identity, token) as talk:
            content = self._fetch_manifest(base, reference, talk)
            results = self._fetch_all(base, _blobs_of(content), talk, progress or _silent)
        checked = tuple(self._verified(each) for each in results)
        self._write_manifest(self.manifest_path(name), content)
        return Pull(digest_of(content), time.monotonic() - began, checked)

    def _fetch_manifest(self, base: Url, reference: Reference, talk: Conversation) -> bytes:
        url = parse_url(f"{base}/manifests/{reference.target}")
        may_follow = Targets(self._dialer, self._habits, url).may_follow
        try:
            with talk.ask("GET", url, may_follow, Accept=MANIFEST_TYPE) as answer:
                return answer.read()
        except (PullError, WireError) as error:
            raise PullError(f"pull model manifest: {error}") from error

    def _fetch_all(
        self, base: Url, listed: Sequence[Descriptor], talk: Conversation, progress: Progress
    ) -> list[BlobResult]:
        has_tensors = any(each.media_type == TENSOR_TYPE for each in listed)
        if not has_tensors or self._habits.has_chunksums:
            return [self._fetch_blob(base, each, talk, progress) for each in listed]
        dialer = self._dialer
        if not self._habits.is_newest:  # Until then this path looks at no proxy.
            around = replace(self._surroundings, https_proxy=None, http_proxy=None)
            dialer = Dialer(around)
        targets = Targets(dialer, self._habits, base)
        return TensorPull(
            base, self._path_of, dialer, targets, self._habits, self._lifeline, progress
        ).run(listed)

    def _path_of(self, descriptor: Descriptor) -> Path:
        return self.blob_path(descriptor.digest)

    def _fetch_blob(
        self, base: Url, descriptor: Descriptor, talk: Conversation, progress: Progress
    ) -> BlobResult:
        digest = descriptor.digest
        path = self.blob_path(digest)
        if path.exists():
            size_bytes = path.stat().st_size
            progress(digest, size_bytes, size_bytes)
            return BlobResult(digest, size_bytes, was_present=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        habits, lifeline = self._habits, self._lifeline
        url = parse_url(f"{base}/blobs/{digest}")
        targets = Targets(self._dialer, habits, url)
        try:
            if habits.has_chunksums:
                chunked = ChunkedDownload(base, path, talk, targets, habits, lifeline, progress)
                return chunked.run(descriptor)
            original = self._originals.get(digest)
            return Download(
                url, digest, path, talk, targets, habits, lifeline, progress, original
            ).run()
        except WireError as error:
            raise PullError(str(error)) from error

    def _verified(self, result: BlobResult) -> BlobResult:
        if result.was_present or result.is_verified:
            return result  # Ollama trusts a file that it has.
        path = self.blob_path(result.digest)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != result.digest.encoded:
            path.unlink()
            wanted = f"want {result.digest}, got sha256:{found}"
            raise DigestMismatchError(f"digest mismatch, file must be downloaded again: {wanted}")
        return replace(result, is_verified=True)

    def _write_manifest(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def split_name(name: str) -> tuple[str, Reference]:
    """The host and the reference that a model name means; only three-part names have a host."""
    host, slash, rest = name.partition("/")
    if slash and "/" in rest:
        return host, parse_model_name(rest)
    return REGISTRY_NAME, parse_model_name(name)


def _blobs_of(content: bytes) -> tuple[Descriptor, ...]:
    try:
        json.loads(content)
    except ValueError as error:
        first = content[:1].decode("latin-1")
        seen = f"invalid character {first!r} looking for beginning of value" if first else "EOF"
        raise PullError(f"pull model manifest: {seen}") from error
    try:
        return parse_manifest(content).descriptors
    except ManifestMalformedError as error:
        raise PullError(f"pull model manifest: {error}") from error


def _silent(digest: Digest, here_bytes: int, total_bytes: int) -> None:
    """Report progress to nobody."""
