"""Files that nobody else may read: written whole or not at all, never open to others for a moment.

The grant secret lives here because it is nothing but such a file. Whoever makes one must hold the
lock of the state directory.
"""

import os
import secrets
from pathlib import Path

SECRET_SIZE_BYTES = 32  # As long as the HMAC-SHA256 that it keys.


class SecretDamagedError(Exception):
    """The grant secret's file does not hold a secret."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} does not hold {SECRET_SIZE_BYTES} bytes")
        self.hint = f"rm {path}   (pulls in progress then start their blobs again)"


class SecretMissingError(Exception):
    """There is no grant secret to read, or it is not ours to read."""

    hint = "start the box once, which makes it; and run this as the same user"

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be read: {error.strerror}")


def read_secret(path: Path) -> bytes:
    """Read the secret of a box that has been started before. Blocks.

    Raises:
        SecretMissingError: it cannot be read.
        SecretDamagedError: the file holds something else.
    """
    try:
        secret = path.read_bytes()
    except OSError as error:
        raise SecretMissingError(path, error) from error
    if len(secret) != SECRET_SIZE_BYTES:
        raise SecretDamagedError(path)
    return secret


def open_secret(path: Path) -> bytes:
    """Read the secret that signs grants, or make it, 0600. Blocks.

    Raises:
        SecretDamagedError: the file holds something else.
    """
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        secret = secrets.token_bytes(SECRET_SIZE_BYTES)
        scratch = path.with_name(f"{path.name}.new")
        scratch.unlink(missing_ok=True)
        write_private(scratch, secret)
        scratch.rename(path)
        sync_directory(path.parent)
    if len(secret) != SECRET_SIZE_BYTES:
        raise SecretDamagedError(path)
    keep_private(path, 0o600)
    return secret


def write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody else could read at any moment, and sync it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def keep_private(path: Path, mode: int) -> None:
    """Take away what a copy or a restored backup has given to others."""
    if path.stat().st_mode & 0o077:
        path.chmod(mode)


def sync_directory(path: Path) -> None:
    """Make the names in a directory outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
