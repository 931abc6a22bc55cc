"""How the announcing stands, for the box to see: a lock that lives as its process does, and words.

Two processes of one user share one small file. Who holds its lock is alive, whatever the file says;
so a killed announcer is seen at once, and nobody has to clean up after it.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_NAME = "announce.lock"
WORDS_SIZE_BYTES = 1024  # One sentence and an address; all of one page, so never seen half-written.
SENTENCE_SIZE_MAX = 400  # In characters, of which JSON may make two bytes each and more.
TAKE_TRIES_MAX = 20  # The box looks by taking the lock, for microseconds, now and then.
TAKE_AGAIN_SECONDS = 0.05
NEVER_RAN = "nobody announces it: systemctl enable --now ollama-appliance-announce"


class AlreadyAnnouncingError(Exception):
    """Another announcer of this state directory runs."""

    hint = "stop it first: systemctl stop ollama-appliance-announce"

    def __init__(self) -> None:
        super().__init__("this box is announced already")


class Standing:
    """The words of the announcer that runs, while it has entered `hold_standing`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, silent_because: str, *, address: str) -> None:
        """Say why `address` is not announced; "" while it is. Blocks for one small write."""
        because = silent_because[:SENTENCE_SIZE_MAX]
        words = json.dumps({"address": address, "silent_because": because}, ensure_ascii=False)
        os.pwrite(self._descriptor, words.encode().ljust(WORDS_SIZE_BYTES), 0)


@contextmanager
def hold_standing(state_dir: Path) -> Iterator[Standing]:
    """Be the announcer of this state directory. Blocks, for a second at most.

    Raises:
        OSError: the directory is not ours to write in.
        AlreadyAnnouncingError: another is.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(state_dir / FILE_NAME, flags, 0o600)
    try:
        _take(descriptor)
        yield Standing(descriptor)
    finally:
        os.close(descriptor)


def why_silent(state_dir: Path, address: str) -> str:
    """Why `address` is not being announced, in words for people; "" while it is."""
    try:
        descriptor = os.open(state_dir / FILE_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return NEVER_RAN
    except OSError as error:
        return f"{state_dir / FILE_NAME} cannot be read: {error.strerror}"
    try:
        announced, because = _read_words(descriptor)
        if _is_free(descriptor):
            return f"{because}; then: {NEVER_RAN}" if because else NEVER_RAN
    finally:
        os.close(descriptor)
    if announced != address:
        return f"{announced or 'nothing'} is announced, not {address}: restart the announcing"
    return because


def _take(descriptor: int) -> None:
    for _ in range(TAKE_TRIES_MAX):
        if _try(descriptor, fcntl.LOCK_EX):
            return
        time.sleep(TAKE_AGAIN_SECONDS)
    raise AlreadyAnnouncingError


def _is_free(descriptor: int) -> bool:
    """Whether nobody holds the lock; it is let go again when the descriptor is closed."""
    return _try(descriptor, fcntl.LOCK_SH)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_words(descriptor: int) -> tuple[str, str]:
    """The address and why it is silent; ("", "") where there are none yet."""
    try:
        document = json.loads(os.pread(descriptor, WORDS_SIZE_BYTES, 0))
        return str(document["address"]), str(document["silent_because"])
    except (ValueError, KeyError, TypeError):
        return "", ""
