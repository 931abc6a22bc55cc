"""What lies in a sharded directory: each entry looked at once, without a Path for it."""

import os
from collections.abc import Iterator
from pathlib import Path

from appliance.protocol.digest import Digest


def list_entries(
    sharded: Path, suffix: str = ""
) -> Iterator[tuple["os.DirEntry[str]", Digest | None]]:
    """Whatever lies in the shards of `sharded`, in order of names, with the digest it is named by.

    That is None where the name is not a digest and `suffix`, or lies in a wrong shard.
    """
    for shard in _by_name(sharded):
        if shard.is_dir():
            for entry in _by_name(shard.path):
                is_right = entry.name.endswith(suffix) and entry.name[:2] == shard.name
                named = entry.name[: len(entry.name) - len(suffix)] if is_right else ""
                yield entry, read_name(named)


def list_files(sharded: Path, suffix: str = "") -> Iterator[tuple[Path, Digest | None]]:
    """The same as paths."""
    for entry, digest in list_entries(sharded, suffix):
        yield Path(entry.path), digest


def read_name(name: str) -> Digest | None:
    """The digest that `name` spells; None where it is none."""
    try:
        return Digest(name)
    except ValueError:
        return None


def _by_name(directory: Path | str) -> list["os.DirEntry[str]"]:
    with os.scandir(directory) as entries:
        return sorted(entries, key=lambda entry: entry.name)
