"""Who asks: what a `User-Agent` tells about the Ollama that sent it.

Released clients say `ollama/0.33.0 (amd64 linux) Go/go1.26.6`; before a release there is `-rc2`
behind the number, and it counts as the release. A build without a version says 0.0.0. The tensor
path says `ollama-transfer/1.0`, its own version and not the client's.
"""

import re
from dataclasses import dataclass

# Four digits a part: more is no version that a release ever had.
_OLLAMA = re.compile(
    r"ollama/v?([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})(?:-[0-9A-Za-z.-]+)?(?: .*)?"
)
_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})")

type Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Client:
    """An Ollama, or something else that speaks to registries.

    `version` is None where it cannot be known: never read that as old.
    """

    is_ollama: bool
    version: Version | None = None


def parse_client(user_agent: str) -> Client:
    """Read a `User-Agent` field; any text is some client."""
    match = _OLLAMA.fullmatch(user_agent)
    if match is None:
        return Client(is_ollama=user_agent.startswith(("ollama/", "ollama-transfer/")))
    version = (int(match[1]), int(match[2]), int(match[3]))
    if version == (0, 0, 0):
        return Client(is_ollama=True)
    return Client(is_ollama=True, version=version)


def parse_version(text: str) -> Version:
    """Read `0.35.2`. Raises ValueError."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a version such as 0.35.2: {text!r}")
    return int(match[1]), int(match[2]), int(match[3])
