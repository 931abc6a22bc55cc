"""Every configuration key, declared once: its default, its unit, what it does and why.

appliance.conf says the same to people; a test holds the two together, word for word. A key's `unit`
serves three ends: the manual prints it, an error quotes it, and whoever reads this sees it.
"""

# ruff: noqa: RUF009  `key` makes a dataclass field, as `field` does.

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from appliance.config_kinds import Kind, choice, flag, list_of, number, port, seconds, text
from appliance.config_values import (
    Address,
    Amount,
    Endpoint,
    Network,
    optional,
    parse_address,
    parse_amount,
    parse_endpoint,
    parse_host_name,
    parse_host_pattern,
    parse_network,
    parse_public_addresses,
    parse_url,
)
from appliance.policy.addresses import Addresses
from appliance.protocol.clients import Version, parse_version


@dataclass(frozen=True, slots=True)
class Key:
    """One key's declaration. `default` is as TOML writes it."""

    name: str
    default: object
    kind: Kind[Any]
    doc: str
    reason: str


def key[T](default: object, kind: Kind[T], *, doc: str, reason: str) -> T:
    """Declare a dataclass field as a configuration key, with its default read like any value."""
    declared: T = field(
        default=kind.read(default),
        metadata={"default": default, "kind": kind, "doc": doc, "reason": reason},
    )
    return declared


_ADDRESS = text("an IP address", parse_address)


@dataclass(frozen=True, slots=True)
class Box:
    """The machine itself: where it keeps things, and how it is reached."""

    state_dir: Path | None = key(
        "",
        text("a directory, absolute or relative to the working directory", optional(Path)),
        doc="Where blobs, manifests, the index and the box's own CA are kept. Empty: "
        "/var/lib/ollama-appliance where the configuration is "
        "/etc/ollama-appliance/appliance.conf, else ./state.",
        reason="An installed box keeps its state where the system expects it; one run from a "
        "checkout keeps it in the checkout, and needs no root.",
    )
    address: Address | None = key(
        "",
        text("an IP address, or empty", optional(parse_address)),
        doc="The box's own address, as clients reach it: what DNS answers, and what blob URLs "
        "name. Empty: the address that the question or the connection came in by.",
        reason="A box with several networks is right without being told. Set it where the box sees "
        "another address than its clients do, as on a container's bridge.",
    )
    listen: tuple[Address, ...] = key(
        [],
        list_of(_ADDRESS, "a list of IP addresses of this machine"),
        doc="The addresses to listen on, for DNS, TLS and the web. Empty: all.",
        reason="access.allow already keeps strangers out; set this where another service of the "
        "machine has one of the ports, on another address.",
    )


@dataclass(frozen=True, slots=True)
class Dns:
    """The responder that sends clients here, and every other question on."""

    enabled: bool = key(
        True,
        flag(),
        doc="Answer DNS at all.",
        reason="Turn it off where the network's own DNS already names the box for the registry.",
    )
    port: int = key(
        53,
        port(),
        doc="The port for DNS, UDP and TCP. Where 53 cannot be had and this key is not set, "
        "10053 is taken, and said.",
        reason="Clients and routers ask nowhere else than on 53.",
    )
    upstream: tuple[Endpoint, ...] = key(
        [],
        list_of(
            text('"ip" or "ip:port"', parse_endpoint), 'a list of "ip", "ip:port" or "[ipv6]:port"'
        ),
        doc="The resolvers that every other question goes to, and that know the origin's true "
        "address. Empty: the system's own.",
        reason="The network's own resolver knows its private names. Set it once the system's own "
        "resolver is this box, which would ask itself.",
    )
    ttl_seconds: int = key(
        30,
        seconds(1, 300),
        doc="How long clients may remember an answer of ours.",
        reason="When the box fails, clients find the true registry after this long and no later.",
    )
    questions_per_minute: int = key(
        1000,
        number(10, 1_000_000),
        doc="How many questions a client may have sent on; the router may have 16 times as many.",
        reason="A device gone wild must not take DNS from the rest. Raise it if a Pi-hole asks us.",
    )


@dataclass(frozen=True, slots=True)
class Tls:
    """The door that poses as the registry over https."""

    port: int = key(
        443,
        port(),
        doc="The port for https under the registry's name. Where 443 cannot be had and this key is "
        "not set, 8443 is taken, and said.",
        reason="Clients of the registry connect to 443 and nowhere else.",
    )


@dataclass(frozen=True, slots=True)
class Proxy:
    """The door for Ollama servers that are told of the box by HTTPS_PROXY."""

    enabled: bool = key(
        True,
        flag(),
        doc="Take CONNECT at all.",
        reason="It reaches machines whose DNS cannot be changed. Turn it off where nobody is to "
        "use the box as a proxy.",
    )
    port: int = key(
        3128,
        port(),
        doc="The port for HTTPS_PROXY. Where 3128 cannot be had and this key is not set, the box "
        "does without the proxy way, and says so.",
        reason="3128 is where proxies are looked for. Each machine is told the port, so none is "
        "chosen in its place.",
    )
    tunnel: tuple[str, ...] = key(
        [
            *("ollama.com", "www.ollama.com", "*.r2.cloudflarestorage.com"),
            *("hf.co", "huggingface.co", "*.hf.co", "*.huggingface.co", "*.xethub.hf.co"),
        ],
        list_of(
            text('a DNS name, or "*." and one', parse_host_pattern),
            'a list of DNS names; "*." stands for exactly one label',
        ),
        doc="The names that are passed through untouched, on port 443 and to public addresses "
        "only. The registry's name and the blob host are opened and need no mention; all other "
        "names are refused.",
        reason="With HTTPS_PROXY set an Ollama server sends everything here. ollama.com: sign-in, "
        "cloud models, tokens. r2.cloudflarestorage.com: where the registry keeps blobs, for "
        "clients that take none of the box's, and for pushes. hf.co, huggingface.co and under: "
        "models named hf.co/…, and the stores that they are redirected to.",
    )


@dataclass(frozen=True, slots=True)
class Web:
    """The door in the clear: blobs, `ollama pull --insecure`, the page and the JSON."""

    ports: tuple[int, ...] = key(
        [80, 8080],
        list_of(port(), "a list of ports, 1 to 65535", count_min=1),
        doc="The ports for http. All of them serve the same; blob URLs name the first. Of the "
        "default ones, those that cannot be had are left out, and said.",
        reason="`ollama pull --insecure` asks on 80; 8080 is there without root.",
    )
    names: tuple[str, ...] = key(
        [],
        list_of(text("a DNS name", parse_host_name), "a list of DNS names"),
        doc="Names by which people reach the page, beside the box's addresses. Only there can they "
        "log in and change something.",
        reason="A stranger can point a name of his own at the box, and then his page would be the "
        "box's to a browser.",
    )
    admin_password_file: Path | None = key(
        "",
        text("a file whose first line is the password, or empty", optional(Path)),
        doc="The password for changes on the page: 8 characters or more. Empty: nobody can log in; "
        "the verbs on the box itself, and tokens made there, work all the same.",
        reason="There is no default password to forget about. In a file, so that it stands in no "
        "configuration and no process list.",
    )


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
    offline: bool = key(
        False,
        flag(),
        doc="Never ask the origin: what is held is served, whatever its age, and all else fails at "
        "once.",
        reason="For a box with no way out, where waiting for the origin would only cost time.",
    )


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the box."""

    allow: tuple[Network, ...] = key(
        [],
        list_of(text('a network such as "10.0.0.0/8"', parse_network), "a list of networks"),
        doc="The networks whose machines may use the box; others get nothing, on every port. "
        "Empty: the box's own subnets and all private ones.",
        reason="A resolver or cache that answers the whole Internet is soon used by it.",
    )


@dataclass(frozen=True, slots=True)
class Sections:
    """All of them, in the manual's order."""

    box: Box = field(default_factory=Box)
    dns: Dns = field(default_factory=Dns)
    tls: Tls = field(default_factory=Tls)
    proxy: Proxy = field(default_factory=Proxy)
    web: Web = field(default_factory=Web)
    origin: Origin = field(default_factory=Origin)
    blobs: Blobs = field(default_factory=Blobs)
    cache: Cache = field(default_factory=Cache)
    access: Access = field(default_factory=Access)


def _declared(section: object) -> Mapping[str, Key]:
    assert is_dataclass(section)
    return {each.name: Key(name=each.name, **each.metadata) for each in fields(section)}


KEYS: Mapping[str, Mapping[str, Key]] = {
    each.name: _declared(getattr(Sections(), each.name)) for each in fields(Sections)
}
"""Section → key → declaration, in the manual's order."""
