"""The verbs that change the store, as they are typed."""

import argparse
import asyncio
import os
from pathlib import Path
from types import ModuleType

from appliance.store.store import open_store
from tests.appliance.store.samples import manifest_of, store_blob, tag_of


def invoke(module: ModuleType, *words: str) -> int:
    """Run a verb; its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, default=Path(os.devnull))
    module.add_parser(parser.add_subparsers())
    args = parser.parse_args(words)
    code: int = args.run(args)
    return code


def store_tiny(state_dir: Path) -> None:
    """Store one model of three bytes."""
    content = manifest_of(b"one")
    with open_store(state_dir) as store:
        asyncio.run(store.write_manifest(tag_of(content), content))
        store_blob(store, b"one")
