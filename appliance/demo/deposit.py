"""Where a client leaves a blob's bytes: in a file, or nowhere, once they were seen to be right.

A crowd of emulated clients on one machine would measure that machine's disk and its hashing. Those
that keep nothing compare every byte with the blob that was published instead, where it belongs.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from appliance.demo.conversation import PullError


class DigestMismatchError(PullError):
    """The bytes are not those of the digest. Where they were kept, they were deleted."""

    hint = "pull again; if it happens again, the cache or the registry holds wrong bytes"


class Deposit(Protocol):
    """Takes the bytes of one blob, by any thread and in any order. Use with `with`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def take(self, piece: memoryview, position: int) -> None:
        """Take bytes that belong at `position`. Raises DigestMismatchError, OSError."""
        ...


class _Opened:
    """Owns a descriptor while its context is open."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.descriptor)


class Keeping(_Opened):
    """Writes to a sparse file of `size_bytes`, made if need be."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        super().__init__(os.open(path, os.O_CREAT | os.O_RDWR, 0o644))
        os.ftruncate(self.descriptor, size_bytes)

    def take(self, piece: memoryview, position: int) -> None:
        while piece:
            count = os.pwrite(self.descriptor, piece, position)
            position, piece = position + count, piece[count:]


class Comparing(_Opened):
    """Compares with the file of the blob as it was published, and keeps nothing."""

    def __init__(self, original: Path, size_bytes: int) -> None:
        super().__init__(os.open(original, os.O_RDONLY))
        self._name = original.name
        if os.fstat(self.descriptor).st_size != size_bytes:
            os.close(self.descriptor)
            raise DigestMismatchError(f"digest mismatch: {self._name} has not {size_bytes} bytes")

    def take(self, piece: memoryview, position: int) -> None:
        # A bytearray compares with any buffer at once; two memoryviews would do it byte by byte.
        right = bytearray(len(piece))
        os.preadv(self.descriptor, [right], position)
        if right != piece:
            where = f"in the {len(piece)} bytes at {position}"
            raise DigestMismatchError(f"digest mismatch: {self._name} differs {where}")
