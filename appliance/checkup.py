"""Which checks this box runs: its self-pull, and quick looks at what is not on a pull's way."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta

from appliance.assembly import USER_AGENT, LeafKeeper
from appliance.blob_host import BlobHost
from appliance.certs import Authority
from appliance.config import Config
from appliance.dns.responder import DnsResponder
from appliance.doorwatch import Door, DoorWatch, connect_head, head_ringer, places_of, tls_ringer
from appliance.health import Checkup
from appliance.listeners import Listener
from appliance.policy.clock import why_untimely
from appliance.policy.delivery import Door as Way
from appliance.policy.eviction import Budget
from appliance.policy.health import Check
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.self_pull import SelfPull
from appliance.store.faults import StoreError
from appliance.store.store import Store
from appliance.surroundings import Surroundings
from appliance.upstream.builtin import BUILTIN
from appliance.upstream.origin import Origin
from appliance.upstream.resolver import ask

ASK_SECONDS = 2.0  # Ours answers in under a millisecond.
EXPIRY_NOTICE = timedelta(days=60)  # Time to hand a new CA to every machine.


def make_checkup(
    config: Config,
    *,
    store: Store,
    origin: Origin,
    authority: Authority,
    leaf: LeafKeeper,
    responder: DnsResponder | None,
    surroundings: Surroundings,
    blob_host: BlobHost,
    tls_port: int,
    budget: Callable[[], Budget],
    is_known: Callable[[], bool],
    inline_trouble: str,
    doors: DoorWatch,
) -> Checkup:
    """Put the checks together; none is listed that is not run.

    `is_known` tells whether the registry's true address was ever learnt; `inline_trouble` is what
    was found at start to keep bodies from leaving over TLS, or "".
    """
    address = find_address(config)
    self_pull = SelfPull(
        reference=BUILTIN,
        name=config.origin.name,
        tls_port=tls_port,
        ca_pem=authority.certificate_pem.decode("ascii"),
        ask=_asker(config.origin.name, responder, address),
        own=lambda: {*surroundings.own_addresses(), *surroundings.dialled_addresses()},
        address=address,
        user_agent=f"{USER_AGENT} self-check",
        blob_host="" if inline_trouble else config.blobs.host,
    )
    return Checkup(
        self_pull,
        {
            "disk": lambda: look_at_disk(store, budget),
            "upstream": lambda: look_at_origin(
                origin, is_offline=config.cache.offline, is_known=is_known()
            ),
            "blobs": blob_host.check,
            **({"connect": look_at_proxy_way} if "connect" in doors.parts else {}),
            "ca": lambda: look_at_dates(authority, leaf, datetime.now(UTC)),
            "inline": lambda: look_at_inline(inline_trouble),
        },
        doors.closed,
    )


def make_door_watch(
    config: Config,
    authority: Authority,
    store: Store,
    origin: Origin,
    *,
    now: Callable[[], float],
    answered: Callable[[Way], int],
    tls: Listener,
    proxy: Listener | None,
    web: Iterable[Listener],
) -> DoorWatch:
    """Who rings the doors that clients come by, as they do; `answered` counts what each answers."""
    name, ca_pem = config.origin.name, authority.certificate_pem.decode("ascii")
    doors = [
        Door(
            "proxy",
            "our https does not open",
            places_of(tls.sockets),
            tls_ringer(name, ca_pem),
            lambda: answered(Way.HTTPS),
        ),
        *(
            Door(
                "web",
                "our http does not open",
                places_of(each.sockets),
                head_ringer(_LIVE),
                lambda: answered(Way.HTTP),
            )
            for each in web
        ),
    ]
    if proxy is not None:
        says, places = "the proxy way does not open", places_of(proxy.sockets)
        doors.append(Door("connect", says, places, head_ringer(connect_head(name))))
    looks = {
        "index": lambda: why_unreadable(store),
        "clock": lambda: why_untimely(
            now(),
            not_before=authority.certificate.not_valid_before_utc.timestamp(),
            origin_time=origin.time,
            is_misdated=origin.is_misdated,
        ),
    }
    return DoorWatch(doors, looks)


_LIVE = b"HEAD /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def find_address(config: Config) -> str:
    """An address of this machine at which the doors listen."""
    listen = config.box.listen
    if not listen:
        return "127.0.0.1"
    return str(_LOOPBACKS.get(str(listen[0]), listen[0]))


_LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # What to dial for every address.


def look_at_disk(store: Store, budget: Callable[[], Budget]) -> Check:
    """Whether the store is there, and has room."""
    if not store.is_present():
        return Check(is_ok=False, detail=f"{store.root} is gone: mount its disk again")
    try:
        free_bytes, wanted_bytes = store.stats().free_bytes, budget().min_free_bytes
    except OSError as error:
        return Check(is_ok=False, detail=f"{store.root} cannot be read: {error.strerror}")
    if free_bytes < wanted_bytes:
        return Check(is_ok=False, detail="less is free than cache.min_free: models pass uncached")
    return Check(is_ok=True, detail=f"{free_bytes // 10**9} GB free at {store.root}")


def why_unreadable(store: Store) -> str:
    """Why no pull can be answered from the store; "" where it can."""
    if not store.is_present():
        return f"{store.root} is gone: mount its disk again"
    try:
        store.find_tag(BUILTIN, MANIFEST_TYPE)
    except (StoreError, OSError) as fault:
        return f"what is held cannot be found ({fault}): restart the box, which mends its index"
    return ""


def look_at_origin(origin: Origin, *, is_offline: bool, is_known: bool) -> Check:
    """What the last request to the origin came to; none was made just for this."""
    if is_offline:
        return Check(is_ok=True, detail="offline, as cache.offline says: the origin is not asked")
    if origin.trouble is not None:
        return Check(is_ok=False, detail=f"{origin.trouble}: {origin.trouble.hint}")
    if not origin.is_reached and not is_known:
        hint = "is there a way to the Internet? else set dns.upstream"
        return Check(is_ok=False, detail=f"no DNS server knows the registry's address: {hint}")
    if not origin.is_reached:
        return Check(is_ok=True, detail="the origin has not been needed yet")
    return Check(is_ok=True, detail="the origin answered when it was last asked")


def look_at_dates(authority: Authority, leaf: LeafKeeper, now: datetime) -> Check:
    """Whether the CA and the certificate of the moment are valid, and for a while."""
    until = authority.not_after
    if not now < leaf.current().not_after:
        return Check(is_ok=False, detail="the certificate has expired: is the clock right?")
    if until - now < EXPIRY_NOTICE:
        return Check(is_ok=False, detail=f"the CA expires on {until:%Y-%m-%d}: replace it")
    return Check(is_ok=True, detail=f"valid until {until:%Y-%m-%d}")


def look_at_proxy_way() -> Check:
    """What is so as long as the door watch has nothing else to say of that door."""
    return Check(is_ok=True, detail="opens by CONNECT for the registry's name")


def look_at_inline(trouble: str) -> Check:
    """Whether blobs can leave over https, as was found at start."""
    return Check(is_ok=not trouble, detail=trouble or "blobs can leave over https, too")


def _asker(
    name: str, responder: DnsResponder | None, address: str
) -> Callable[[], Awaitable[tuple[str, ...]]]:
    async def ask_ours() -> tuple[str, ...]:
        if responder is None:
            return (address,)
        if not responder.listening:
            raise OSError(str(responder.fault or "it listens nowhere"))
        server = responder.listening[0]
        found = await ask(server, name, "A", ASK_SECONDS)
        return found or await ask(server, name, "AAAA", ASK_SECONDS)

    return ask_ours
