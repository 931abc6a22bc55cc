"""`ollama-appliance status`: how the running box is."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from appliance.cli.showing import print_lines, tell_fault
from appliance.config import Config, ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, call_box, call_health


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("status", help="how the running box is")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the box; 0 if clients can use it, 1 if not, or if none runs."""
    try:
        config = load_config(args.config, read_environment())
        status = _ask(config)
    except (ConfigInvalidError, BoxNotRunningError) as fault:
        return tell_fault(fault)
    if args.json:
        print(json.dumps(status, indent=2))
    else:
        print_lines(format_status(status))
    return 1 if status["status"] == "unhealthy" else 0


def _ask(config: Config) -> dict[str, Any]:
    """The box's own words, or those of what stands in for it. Raises BoxNotRunningError."""
    try:
        status: dict[str, Any] = call_box(config.state_dir, "status")
    except BoxNotRunningError:
        host = str((*config.box.listen, "127.0.0.1")[0])
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # Dialled.
        status = call_health(config.state_dir, [(host, port) for port in config.web.ports])
    return status


def format_status(status: dict[str, Any]) -> Iterator[str]:
    """Lines for a person."""
    is_whole = "pid" in status  # Else it is without its disk, and says no more.
    since = f", up {status['uptime_seconds'] // 60} min, pid {status['pid']}" if is_whole else ""
    yield f"{status['status']}: version {status['version']}{since}"
    for name, check in status["checks"].items():
        yield f"  {'ok    ' if check['ok'] else 'BROKEN'} {name}: {check['detail']}"
    if not is_whole:
        return
    dns = sorted({port for _, port in status["dns"]})
    web = ", ".join(map(str, status["web_ports"]))
    proxy = status["proxy_port"] or "off"
    yield (
        f"ports: DNS {dns[0] if dns else 'off'}, https {status['tls_port']}, http {web}, "
        f"proxy {proxy}"
    )
    yield f"addresses: {', '.join(status['addresses']) or 'none'}"
    for fill in status["fills"]:
        percent = 100 * fill["held_bytes"] // max(1, fill["size_bytes"])
        yield f"fetching: {fill['repository']} {fill['digest'][:19]} {percent} %"
