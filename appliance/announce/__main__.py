"""`python -m appliance.announce`: the service that announces the box's address, until SIGTERM.

It reads the box's own configuration, and needs CAP_NET_RAW for one socket and nothing else.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from appliance.announce.announcer import AddressGoneError, Announcer, OtherRouterError
from appliance.announce.link import Link, open_socket
from appliance.announce.standing import AlreadyAnnouncingError, Standing, hold_standing
from appliance.config import Config, ConfigInvalidError, load_config, read_environment
from appliance.interfaces import read_interfaces
from appliance.policy.addresses import parse_address
from appliance.policy.blob_addresses import choose_announced
from appliance.private_files import SecretDamagedError, SecretMissingError, read_secret


class NotAskedForError(Exception):
    """The configuration does not want anything announced."""

    hint = "set blobs.announce = true in appliance.conf"

    def __init__(self) -> None:
        super().__init__("blobs.announce is false")


_FAULTS = (
    AddressGoneError,
    AlreadyAnnouncingError,
    ConfigInvalidError,
    NotAskedForError,
    OtherRouterError,
    SecretDamagedError,
    SecretMissingError,
)


def main() -> int:
    """Announce until SIGTERM, 0; or say why not, 1."""
    parser = argparse.ArgumentParser(prog="python -m appliance.announce", description=__doc__)
    parser.add_argument("--config", type=Path, metavar="FILE")
    args = parser.parse_args()
    try:
        config = load_config(args.config, read_environment())
        if not config.blobs.announce:
            raise NotAskedForError
        _announce(config)
    except _FAULTS as fault:
        return _refuse(f"{fault}\n  {fault.hint}")
    except PermissionError as error:
        return _refuse(f"{error}\n  it needs CAP_NET_RAW, and the box's own user")
    except OSError as error:
        return _refuse(f"{error}\n  is the interface up?")
    return 0


def _announce(config: Config) -> None:
    secret = read_secret(config.state_dir / "secret")
    address = choose_announced(config.blobs.address, secret)
    with hold_standing(config.state_dir) as standing:
        try:
            asyncio.run(_run(address, standing))
        except Exception as error:
            standing.say(str(error), address=address)
            raise


async def _run(address: str, standing: Standing) -> None:
    interface = find_interface(address)
    if not interface:
        raise AddressGoneError(address, "")
    with closing(Link(open_socket(interface))) as link:
        announcer = Announcer(
            link, address, is_held=lambda: find_interface(address) == interface, interface=interface
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, announcer.stop)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, announcer.stop)
        await announcer.run(_teller(standing, address, interface))
    standing.say("it was stopped", address=address)


def _teller(standing: Standing, address: str, interface: str) -> Callable[[str], None]:
    told: list[str] = []

    def tell(silent_because: str) -> None:
        standing.say(silent_because, address=address)
        line = silent_because or f"{address} is announced on {interface}"
        if told[-1:] != [line]:
            told.append(line)
            print(line, flush=True)  # noqa: T201  # A service of its own: this is its log.

    return tell


def find_interface(address: str) -> str:
    """The interface that has this address, for its neighbours to find; "" where none has."""
    for each in read_interfaces():
        if not each.is_loopback and address in map(str, map(parse_address, each.texts)):
            return each.name
    return ""


def _refuse(message: str) -> int:
    print(f"ollama-appliance: {message}", file=sys.stderr)  # noqa: T201  # As above.
    return 1


if __name__ == "__main__":
    sys.exit(main())
