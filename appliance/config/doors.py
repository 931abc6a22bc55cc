"""The machine and its doors: where it keeps things, what it listens on, and who may use it."""

# ruff: noqa: RUF009  `key` makes a dataclass field, as `field` does.

from dataclasses import dataclass
from pathlib import Path

from appliance.config.declaring import key
from appliance.config.kinds import flag, list_of, number, port, seconds, text
from appliance.config.values import (
    Address,
    Endpoint,
    Network,
    optional,
    parse_address,
    parse_endpoint,
    parse_host_name,
    parse_host_pattern,
    parse_network,
)

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
    mount_point: Path | None = key(
        "",
        text("a directory, absolute or relative to the working directory", optional(Path)),
        doc="Where the disk is mounted on which state_dir lies, if it is a disk of its own. Empty: "
        "as /etc/fstab says.",
        reason="With that disk missing the box passes all to the registry until it is there, and "
        "does not begin anew below its mount point. Set it where the disk is not in /etc/fstab.",
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
    workers: int = key(
        0,
        number(0, 64),
        doc="How many more processes of about 100 MB each serve https beside the box itself.",
        reason="For networks faster than 10 Gb/s: over https one process ends at about 1 GB of "
        "blobs a second (docs/PERFORMANCE.md). Leave a core for the box itself.",
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
class Access:
    """Who may use the box."""

    allow: tuple[Network, ...] = key(
        [],
        list_of(text('a network such as "10.0.0.0/8"', parse_network), "a list of networks"),
        doc="The networks whose machines may use the box; others get nothing, on every port. "
        "Empty: the box's own subnets and all private ones.",
        reason="A resolver or cache that answers the whole Internet is soon used by it.",
    )
    record_clients: bool = key(
        True,
        flag(),
        doc="Show on the page which machine pulls what, and keep how much each was given. Off: no "
        "address of a client is shown or kept, and what was kept is forgotten at the next start. "
        "(What the box learns of clients that miss its blob URLs names them either way.)",
        reason="At home one wants to know; where people's machines are counted, one may have to "
        "ask them first.",
    )
    client_days: int = key(
        30,
        number(1, 3650),
        doc="For how many days it is kept how much each machine was given.",
        reason="Long enough for a month's question, and no archive of who did what.",
    )
