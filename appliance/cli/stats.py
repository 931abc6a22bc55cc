"""`ollama-appliance stats`, and `cache stats`: what the box served, fetched and so saved."""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from appliance.cache.accounts import Bookkeeper, Uncounted
from appliance.cli.showing import make_console, print_lines, tell_fault
from appliance.cli.wishes import FAULTS, add_json
from appliance.config import Config, load_config, read_environment
from appliance.control import BoxNotRunningError, BoxPuzzledError, ask_box
from appliance.store.store import open_store
from appliance.upkeep import make_scrubber
from appliance.upstream.builtin import BUILTIN, BuiltinSource
from appliance.web.sizes import format_percent, format_size
from appliance.web.stats import describe_stats

DAYS_SHOWN = 7


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("stats", help="what the box served, fetched and so saved")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Tell it, of a running box or of a stopped one."""
    try:
        stats = read_stats(load_config(args.config, read_environment()))
    except FAULTS as fault:
        return tell_fault(fault)
    if args.json:
        print(json.dumps(stats, indent=2))
        return 0
    print_lines(format_stats(stats))
    if stats["by_day"]:
        make_console().print(Group("", make_table(stats["by_day"])))
    return 0


def read_stats(config: Config) -> dict[str, Any]:
    """What `/cache/stats` says; with no box running, from its store. Raises what FAULTS lists."""
    try:
        stats: dict[str, Any] = asyncio.run(ask_box(config.state_dir, "stats"))
    except BoxPuzzledError:
        raise
    except BoxNotRunningError:
        if not config.state_dir.exists():
            raise
        return _read_stored(config)
    return stats


def _read_stored(config: Config) -> dict[str, Any]:
    from appliance.assembly import read_budget  # Late: it knows all of mitmproxy.

    with open_store(config.state_dir, mount_point=config.box.mount_point) as store:
        own = Uncounted(BUILTIN.repository, tuple(BuiltinSource().digests))
        books = Bookkeeper(store, own, now=time.time)
        return describe_stats(
            books.stats(),
            books.accounts(),
            books.models(),
            make_scrubber(store).progress(),
            budget=read_budget(config, store.root),
            directory=str(store.root),
            now=time.time(),
        )


def format_stats(stats: Mapping[str, Any]) -> Iterator[str]:
    """Lines for a person."""
    ratio = format_percent(stats["byte_hit_ratio"])
    yield (
        f"saved    {format_size(stats['saved_bytes'])}: {ratio} of "
        f"{format_size(stats['served_bytes'])} served came from the cache"
    )
    unasked = stats["unasked_bytes"]
    ahead = f", {format_size(unasked)} of it before anybody asked" if unasked else ""
    yield f"fetched  {format_size(stats['fetched_bytes'])} from the Internet{ahead}"
    held = format_size(stats["total_blob_size_bytes"])
    yield f"held     {held} in {stats['blob_count']} blobs; {stats['manifest_count']} manifests"
    if stats["pending_blob_count"]:
        begun = format_size(stats["pending_held_bytes"])
        yield f"begun    {begun} of {stats['pending_blob_count']} unfinished downloads"
    yield f"free     {format_size(stats['free_bytes'])} at {stats['cache_directory']}"
    troubles = {
        "had the wrong bytes": stats["mismatches"],
        "spoiled by the disk": stats["damaged"],
        "in quarantine": stats["quarantined_count"],
        "passed uncached": stats["uncached"],
    }
    told = ", ".join(f"{count} {what}" for what, count in troubles.items() if count)
    if told:
        yield f"note     {told}"


def make_table(by_day: Mapping[str, Mapping[str, Any]]) -> Table:
    """The last days, the newest first."""
    table = Table(box=None, header_style="bold")
    for column in ("DAY", "SERVED", "FETCHED", "SAVED"):
        table.add_column(column, justify="left" if column == "DAY" else "right")
    for day in sorted(by_day, reverse=True)[:DAYS_SHOWN]:
        counts = by_day[day]
        sizes = (counts[f"{each}_bytes"] for each in ("served", "fetched", "saved"))
        table.add_row(day, *map(format_size, sizes))
    return table
