"""`ollama-appliance prefetch`: fetch models before anybody needs them, as `POST /api/pull` does."""

import argparse
import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from appliance.cli.showing import make_console, showing_progress, tell_fault
from appliance.cli.wishes import FAULTS
from appliance.config import ConfigInvalidError, load_config, read_environment
from appliance.control import follow_box

type Show = Callable[[Mapping[str, Any]], None]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "prefetch",
        help="have the running box fetch models before anybody pulls them",
        epilog="Ctrl-C stops the waiting, not the download of a blob that has begun.",
    )
    parser.add_argument("model", metavar="MODEL", nargs="+", help="such as llama3.2:1b")
    parser.add_argument(
        "--json", action="store_true", help="each step as a JSON object on a line of its own"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch one after the other; 0 if all of them are here now."""
    try:
        state_dir = load_config(args.config, read_environment()).state_dir
    except ConfigInvalidError as fault:
        return tell_fault(fault)
    codes = [fetch_model(state_dir, model, as_json=args.json) for model in args.model]
    return max(codes)


def fetch_model(state_dir: Path, model: str, *, as_json: bool) -> int:
    """Fetch one, and show how far it is; the exit code that it is worth."""
    try:
        with showing_progress() as progress:
            bars = None if progress is None or as_json else Bars(progress, model)
            show = _choose_show(model, bars, as_json=as_json)
            last = asyncio.run(_follow(state_dir, model, show))
    except FAULTS as fault:
        return tell_fault(fault)
    if "error" in last:
        return tell_fault(PrefetchError(f"{model}: {last['error']}"))
    if not as_json:
        make_console().print(f"{model} is here", markup=False, soft_wrap=True)
    return 0


class PrefetchError(Exception):
    """The box could not fetch it, and said why."""

    hint = "see how it is: ollama-appliance status"


async def _follow(state_dir: Path, model: str, show: Show) -> Mapping[str, Any]:
    """Every line to `show`; returns the last."""
    line: Mapping[str, Any] = {"error": "the box said nothing"}
    async with aclosing(follow_box(state_dir, "prefetch", {"model": model})) as lines:
        async for line in lines:
            show(line)
    if line.get("status") != "success" and "error" not in line:
        return {"error": "the box stopped before it was here"}
    return line


def _choose_show(model: str, bars: "Bars | None", *, as_json: bool) -> Show:
    if as_json:
        return lambda line: print(json.dumps({"model": model, **line}), flush=True)
    return bars.show if bars is not None else lambda line: None


class Bars:
    """A bar for each blob, from the first line about it on."""

    def __init__(self, progress: Progress, model: str) -> None:
        self._progress = progress
        self._model = model
        self._bars: dict[str, TaskID] = {}

    def show(self, line: Mapping[str, Any]) -> None:
        digest = line.get("digest")
        if digest is None:
            return
        if digest not in self._bars:
            what = f"{self._model} {digest.partition(':')[2][:12]}"
            self._bars[digest] = self._progress.add_task(what, total=line["total"])
        self._progress.update(self._bars[digest], completed=line.get("completed", 0))
