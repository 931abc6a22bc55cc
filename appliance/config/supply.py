"""What the box fetches, keeps and hands out: the origin, the blobs, the cache."""

# ruff: noqa: RUF009  `key` makes a dataclass field, as `field` does.

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.config.declaring import key
from appliance.config.kinds import choice, flag, number, seconds, text
from appliance.config.values import (
    Amount,
    optional,
    parse_amount,
    parse_host_name,
    parse_public_addresses,
    parse_url,
)
from appliance.policy.addresses import Addresses
from appliance.protocol.clients import Version, parse_version


@dataclass(frozen=True, slots=True)
class Origin:
    """The true registry."""

    name: str = key(
        "registry.ollama.ai",
        text("a DNS name", parse_host_name),
        doc="The registry's name: the one that DNS, TLS and the box's CA stand in for.",
        reason="It is the name in every model that names no other.",
    )
    url: str = key(
        "https://registry.ollama.ai",
        text(
            "http:// or https://, a host, and a port where it needs one",
            partial(parse_url, schemes=("http", "https")),
        ),
        doc="Where the box itself fetches what it lacks.",
        reason="The registry, checked as any client would check it. Another registry of yours may "
        "stand here: a mirror, or Docker's.",
    )
    allow_private: bool = key(
        False,
        flag(),
        doc="Let the origin, and what it redirects to, be at a private address.",
        reason="No name that the origin's answers carry can then make the box fetch from inside "
        "your network. Set it for an origin that is inside.",
    )
    ca_file: Path | None = key(
        "",
        text("a file of PEM certificates, or empty", optional(Path)),
        doc="The certificates that the origin is checked against. Empty: the system's own.",
        reason="Needed where the office inspects TLS, or the origin has a CA of its own. The check "
        "itself cannot be turned off.",
    )
    connections: int = key(
        16,
        number(1, 64),
        doc="How many requests for blobs the origin sees at once, all downloads together. While "
        "several models are fetched they share these; each has at least one.",
        reason="As many as one Ollama opens for itself. Fewer leave more of the line to others.",
    )
    proxy: str | None = key(
        "",
        text("http://host:port, or empty", optional(partial(parse_url, schemes=("http",)))),
        doc="The proxy that the box must take to the Internet, where the office has one. Empty: "
        "none; HTTP_PROXY and the like are not read.",
        reason="Said here or not at all, so that a leftover variable never sends the box through "
        "itself.",
    )


@dataclass(frozen=True, slots=True)
class Blobs:
    """How the bytes of a model leave the box."""

    host: str = key(
        "ollama-blobs.home.arpa",
        text("a DNS name", parse_host_name),
        doc="The name kept for blobs alone. The box's DNS answers it and its CA covers it; it "
        "needs to exist nowhere else.",
        reason="Clients follow a redirect only to another name than the one they asked; home.arpa "
        "is set apart for names like this one (RFC 8375).",
    )
    address: Addresses = key(
        "",
        text(
            "an IPv4 address, an IPv6 address, or both with a comma; or empty",
            parse_public_addresses,
        ),
        doc="An address of this box's own for the blob host, which clients do not take for a "
        "private one: 203.0.113.10 or another of a documentation network. The machine must have "
        "it and clients a route to it: `ollama-appliance blob-address` prints the lines for both. "
        "Empty: the box's own global IPv6 address, where it has one.",
        reason="Ollama from refuse_private_from on fetches no blob from a private address after "
        "https. With IPv6 on the network nothing needs to be set.",
    )
    published: bool = key(
        False,
        flag(),
        doc="Every client finds blobs.host by the network's own DNS or its hosts file, and has a "
        "way to blobs.address.",
        reason="Unless this is said, clients are sent to the blob host only while this box's DNS "
        "is asked for the registry: a name that does not resolve would fail their pull.",
    )
    announce: bool = key(
        False,
        flag(),
        doc="Tell the network of an IPv6 address of this box, by Router Advertisements that bring "
        "a route to that one address and nothing else. A service of its own does it: "
        "`ollama-appliance blob-address` prints its lines. The address is the IPv6 one of "
        "blobs.address, else one of 64:ff9b:1::/48 that is this box's alone.",
        reason="For a network without IPv6 whose router and DHCP cannot be changed. Off, because "
        "a machine that announces anything should have been asked to.",
    )
    delivery: str = key(
        "auto",
        choice("auto", "plain", "tls"),
        doc="Which blob URL a client is given that came by https. auto: the cheapest that it "
        "accepts. plain: always the http URL. tls: never that one, but https, on the blob host "
        "where the client reaches it.",
        reason="Plain http costs the least on both ends and the digest guards the bytes, but "
        "clients from refuse_private_from on refuse it after https.",
    )
    fallback: str = key(
        "origin",
        choice("origin", "refuse"),
        doc="For a client that accepts no blob URL of ours. origin: its pull goes to the origin, "
        "uncached. refuse: its pull fails at once with a sentence that names the ways that work.",
        reason="A pull that costs bandwidth is better than none, unless the line cannot bear it.",
    )
    refuse_private_from: Version = key(
        "0.35.2",
        text("a version of Ollama such as 0.35.2", parse_version),
        doc="The first version of Ollama that refuses redirects to private addresses and from "
        "https to http.",
        reason="Older clients take the plain http URL. A setting, because only a release shows.",
    )


@dataclass(frozen=True, slots=True)
class Cache:
    """What is kept, and for how long it is believed."""

    max_size: Amount = key(
        "80%",
        text('a size such as "500GiB", or a part such as "80%"', parse_amount),
        doc="What all blobs together may take of the file system. Past it the models that were "
        "not pulled for longest are let go of, pinned ones and those in use never.",
        reason="Leaves the rest to whatever else lives on the disk, without being told its size.",
    )
    min_free: Amount = key(
        "5%",
        text('a size such as "20GiB", or a part such as "5%"', parse_amount),
        doc="The space that the cache leaves free on its file system, by letting go of models as "
        "for max_size. What does not fit all the same is passed to the client without being "
        "stored.",
        reason="A full file system breaks more than the cache.",
    )
    fresh_seconds: int = key(
        60,
        seconds(0, 3600),
        doc="How long a manifest is served without asking the origin whether its tag has moved. "
        "Blobs never change and are never asked about.",
        reason="A classroom that pulls at once asks once; a new version is seen a minute later.",
    )
    scrub_days: int = key(
        30,
        number(0, 3650),
        doc="Within how many days all that is held is read again, in the background and giving way "
        "to pulls. Bytes that a disk has spoiled are kept from clients and fetched again, and only "
        "those, in pieces of 16 MiB. 0: never, but for `ollama-appliance scrub`.",
        reason="Disks lose bits without a word. A terabyte in a month is 0.4 MB/s.",
    )
    offline: bool = key(
        False,
        flag(),
        doc="Never ask the origin: what is held is served, whatever its age, and all else fails at "
        "once.",
        reason="For a box with no way out, where waiting for the origin would only cost time.",
    )
