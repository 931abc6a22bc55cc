"""What DNS answers: a question, and how the box is, to a verdict.

The intercepted names are the box's, in every type: a client that learnt another address of the
registry from an AAAA or HTTPS record would slip past. While the box is failed open they are the
origin's again, but HTTPS records stay away: their address hints outlive our short TTL. The blob
host never has an address that the newest clients refuse, for one such record spoils the others.
It keeps its addresses while the box is failed open: nobody is sent there anew, and who is in the
middle of a pull has nowhere else to go.
"""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.policy.addresses import Addresses, is_public

# RFC 9462 §6.4: a resolver that designates no encrypted one must not let this be forwarded.
DESIGNATION_ZONE = "resolver.arpa"
# Browsers keep to the LAN's own DNS where this name does not exist.
CANARY_NAME = "use-application-dns.net"

_TRANSFERS = frozenset({"AXFR", "IXFR"})
_HINTS = frozenset({"HTTPS", "SVCB"})


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, as text: `type` and `rclass` by mnemonic, or TYPE65280 and CLASS42."""

    name: str
    type: str
    rclass: str = "IN"


@dataclass(frozen=True, slots=True)
class Names:
    """The names that are ours to answer, in lower case and without the last dot."""

    intercepted: frozenset[str]
    blob_host: str

    def __post_init__(self) -> None:
        assert all(each == normalise_name(each) for each in (*self.intercepted, self.blob_host))


@dataclass(frozen=True, slots=True)
class Box:
    """The box's own addresses, never none."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """The origin's own addresses, never none; to be forgotten soon."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Empty:
    """The name exists and has no record of this type."""


@dataclass(frozen=True, slots=True)
class Minimal:
    """The one record that answers ANY (RFC 8482)."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Somebody else's to answer; `is_brief` where clients must forget it as soon as Truth."""

    is_brief: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not for anybody here."""


@dataclass(frozen=True, slots=True)
class NoSuchName:
    """The name does not exist."""


Own = Box | Truth | Empty | Minimal | Refuse | NoSuchName
Verdict = Own | Forward


def normalise_name(name: str) -> str:
    """Names are equal whatever their case, and with or without the last dot."""
    return name.lower().removesuffix(".")


def decide_answer(
    question: Question,
    names: Names,
    box: Addresses,
    blob_addresses: Addresses,
    *,
    is_open: bool,
    truth: Addresses,
) -> Verdict:
    """Decide who answers, and with what.

    `is_open` says that DNS has failed open: the box cannot be relied on. A box without any
    address to give counts as failed open too.
    """
    if question.rclass != "IN" or question.type in _TRANSFERS:
        return Refuse()
    name = normalise_name(question.name)
    if name in names.intercepted:
        if is_open or not box:
            return _decide_open(question.type, truth)
        return _decide_own(question.type, box, Box)
    if name == names.blob_host:
        return _decide_own(question.type, _public(blob_addresses), Box)
    if name == DESIGNATION_ZONE or name.endswith(f".{DESIGNATION_ZONE}"):
        return Empty()
    return NoSuchName() if name == CANARY_NAME else Forward()


def _decide_own(
    rtype: str, addresses: Addresses, verdict: Callable[[tuple[str, ...]], Box | Truth]
) -> Own:
    if rtype == "ANY":
        return Minimal()
    records = {"A": addresses.v4, "AAAA": addresses.v6}.get(rtype, ())
    return verdict(records) if records else Empty()


def _decide_open(rtype: str, truth: Addresses) -> Verdict:
    own = _decide_own(rtype, truth, Truth)
    if own == Empty() and rtype not in _HINTS:
        return Forward(is_brief=True)
    return own


def _public(addresses: Addresses) -> Addresses:
    return Addresses(
        tuple(each for each in addresses.v4 if is_public(each)),
        tuple(each for each in addresses.v6 if is_public(each)),
    )
