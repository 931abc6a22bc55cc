"""What the box and its DNS process say to each other: one JSON object a line.

The parent writes Settings once, then a Beat at least each half second, and Stop at the end. The
child writes Listening once it answers, and again when its addresses change; or a Failure. Now and
then it writes Answered, while clients are led to the box.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from appliance.policy.addresses import Addresses


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the DNS process needs to know. Addresses and networks are text."""

    state_dir: str
    """Where its lock lies."""
    port: int
    """0 lets the system choose one, the same for every address."""
    intercepted: tuple[str, ...]
    blob_host: str
    upstream: tuple[tuple[str, int], ...] = ()
    """Who is asked for all that is not ours, in this order."""
    listen: tuple[str, ...] = ()
    """Addresses to bind; none means every address of the machine, 0.0.0.0 every IPv4 one."""
    box_address: str = ""
    """The address to answer with, where it is not the one asked at."""
    blob_addresses: tuple[str, ...] = ()
    """The blob host's, beside the box's own global IPv6 address, where it has one."""
    blob_announced: str = ""
    """The blob host's where it has no other IPv6 address."""
    is_blob_host_published: bool = False
    """Whether the blob host's addresses count although the machine may not have them."""
    allow: tuple[str, ...] = ()
    """Networks of clients that get answers; none means the local ones."""
    truth: tuple[str, ...] = ()
    """The origin's addresses as last known, until a beat says better."""
    ttl_seconds: int = 30
    questions_per_minute: int = 1000
    """How many a client may have forwarded."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The box lives; whether it can be relied on; the origin's addresses as it knows them."""

    is_healthy: bool
    truth: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """The box ends, and its DNS with it."""


@dataclass(frozen=True, slots=True)
class Listening:
    """What is bound, and what is not with the reason."""

    listening: tuple[tuple[str, int], ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """Just now `client`, an address on the network, was given the box for an intercepted name."""

    client: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The process cannot do its work, and what may help."""

    error: str
    hint: str


Report = Listening | Answered | Failure


def format_settings(settings: Settings) -> bytes:
    """What the parent says first."""
    return _line(asdict(settings))


def parse_settings(line: bytes) -> Settings:
    """Read a Settings line.

    Raises:
        ValueError: it is none.
    """
    document = _object(line)
    if document.keys() != {each.name for each in fields(Settings)}:
        raise ValueError("settings have other keys")
    return Settings(
        state_dir=_text(document["state_dir"]),
        port=_number(document["port"], maximum=65535),
        intercepted=_texts(document["intercepted"]),
        blob_host=_text(document["blob_host"]),
        upstream=_servers(document["upstream"]),
        listen=_texts(document["listen"]),
        box_address=_text(document["box_address"]),
        blob_addresses=_texts(document["blob_addresses"]),
        blob_announced=_text(document["blob_announced"]),
        is_blob_host_published=_flag(document["is_blob_host_published"]),
        allow=_texts(document["allow"]),
        truth=_texts(document["truth"]),
        ttl_seconds=_number(document["ttl_seconds"], maximum=2**31 - 1),
        questions_per_minute=_number(document["questions_per_minute"], maximum=2**31 - 1),
    )


def format_word(word: Beat | Stop) -> bytes:
    """What the parent says after the settings."""
    if isinstance(word, Stop):
        return _line({"stop": True})
    return _line({"beat": True, "is_healthy": word.is_healthy, "truth": word.truth})


def parse_word(line: bytes) -> Beat | Stop:
    """Read what the parent says after the settings.

    Raises:
        ValueError: it says neither.
    """
    document = _object(line)
    if document.get("stop") is True:
        return Stop()
    is_healthy = document.get("is_healthy")
    if document.get("beat") is not True or not isinstance(is_healthy, bool):
        raise ValueError("neither a beat nor a stop")
    truth = _texts(document.get("truth", []))
    Addresses.sort(truth)
    return Beat(is_healthy, truth)


def format_report(report: Report) -> bytes:
    """What the child says."""
    return _line({"answered": report.client} if isinstance(report, Answered) else asdict(report))


def parse_report(line: bytes) -> Report:
    """Read what the child says.

    Raises:
        ValueError: it says none of these.
    """
    document = _object(line)
    if "answered" in document:
        return Answered(_text(document["answered"]))
    if "error" in document:
        return Failure(_text(document["error"]), _text(document.get("hint", "")))
    listening = _servers(document.get("listening"))
    if not listening:
        raise ValueError("listening nowhere")
    return Listening(
        listening,
        tuple((_text(host), _text(why)) for host, why in _pairs(document.get("skipped", []))),
    )


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(document, dict):
        return document
    raise ValueError("not a JSON object")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"not text: {value!r}")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"neither true nor false: {value!r}")


def _number(value: object, maximum: int) -> int:
    if type(value) is not int or not 0 <= value <= maximum:
        raise ValueError(f"not a number from 0 to {maximum}: {value!r}")
    return value


def _list(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    raise ValueError(f"not a list: {value!r}")


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(each) for each in _list(value))


def _servers(value: object) -> tuple[tuple[str, int], ...]:
    return tuple((_text(host), _number(port, 65535)) for host, port in _pairs(value))


def _pairs(value: object) -> list[tuple[object, object]]:
    pairs = [_list(each) for each in _list(value)]
    if any(len(each) != 2 for each in pairs):
        raise ValueError(f"not pairs: {value!r}")
    return [(first, second) for first, second in pairs]
