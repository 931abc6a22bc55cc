"""Who asks: what a `User-Agent` tells about the Ollama that sent it.

Released clients say `ollama/0.33.0 (amd64 linux) Go/go1.26.6`; before a release there is `-rc2`
behind the number, and it counts as the release. A build without a version says 0.0.0. The tensor
path says `ollama-transfer/1.0`, its own version and not the client's. The experimental puller that
releases 0.5.14 to 0.31.1 carried says its Go module's version, with a `v` before it.

That experiment (`client2`) signs every request, public models' too: what it sends as Authorization
says who asks, and not that the model is private.
"""

import re
from dataclasses import dataclass

# Four digits a part: more is no version that a release ever had.
_NUMBERS = r"([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})"
_OLLAMA = re.compile(rf"ollama/(v?){_NUMBERS}(?:-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?(?: .*)?")
_VERSION = re.compile(rf"v?{_NUMBERS}")
_BASE64 = "[A-Za-z0-9+/_-]+=*"
_SIGNED = re.compile(f"Bearer {_BASE64}:{_BASE64}:{_BASE64}")  # A URL, a key, a signature.

type Version = tuple[int, int, int]

_EXPERIMENT_ENDED: Version = (0, 31, 2)


@dataclass(frozen=True, slots=True)
class Client:
    """An Ollama, or something else that speaks to registries.

    `version` is None where it cannot be known: never read that as old. `is_tensor`: it is the path
    by which Ollama pulls tensor models. `follows_redirects`: it is the experimental puller, which
    takes bytes and redirects from anywhere, and signs its requests for public models too.
    """

    is_ollama: bool
    version: Version | None = None
    is_tensor: bool = False
    follows_redirects: bool = False


def parse_client(user_agent: str) -> Client:
    """Read a `User-Agent` field; any text is some client."""
    match = _OLLAMA.fullmatch(user_agent)
    if match is None:
        is_tensor = user_agent.startswith("ollama-transfer/")
        is_ollama = is_tensor or user_agent.startswith("ollama/")
        return Client(is_ollama=is_ollama, is_tensor=is_tensor)
    is_module, is_altered = bool(match[1]), bool(match[5])
    numbers = (int(match[2]), int(match[3]), int(match[4]))
    is_known = numbers > (0, 0, 0) and (is_module or not is_altered)
    return Client(
        is_ollama=True,
        version=numbers if is_known else None,
        follows_redirects=is_module and numbers < _EXPERIMENT_ENDED,
    )


def is_signed_by_habit(authorization: str) -> bool:
    """Whether an `Authorization` is a client's own signature, which it puts on every request.

    A token that a registry gave out has no colons: those are letters, digits and `-._~+/=`
    (RFC 6750 §2.1).
    """
    return _SIGNED.fullmatch(authorization) is not None


def parse_version(text: str) -> Version:
    """Read `0.35.2`. Raises ValueError."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a version such as 0.35.2: {text!r}")
    return int(match[1]), int(match[2]), int(match[3])
