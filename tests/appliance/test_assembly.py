"""Which setting becomes whose argument."""

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import certifi
import pytest

from appliance import assembly
from appliance.assembly import (
    LeafKeeper,
    choose_source,
    find_roots,
    make_admission,
    make_blob_place,
    make_cache,
    make_dns_settings,
    make_origin,
    make_proxy_rules,
    make_pseudonym,
    make_registry,
    make_resolver,
    read_servers,
)
from appliance.certs import LEAF_LIFE, open_authority
from appliance.policy.addresses import AddressRefusedError, Interface
from appliance.policy.delivery import Fallback, Urls
from appliance.protocol.reference import Repository
from appliance.store.store import Store, open_store
from appliance.surroundings import Surroundings
from appliance.upstream.builtin import BUILTIN, BuiltinSource
from appliance.upstream.offline import OfflineSource
from tests.appliance.boxes import make_config
from tests.appliance.cache.pulling import Clock

NAMES = ("registry.ollama.ai", "ollama-blobs.home.arpa")
LAN = (
    Interface("lo", (ipaddress.ip_interface("127.0.0.1/8"),)),
    Interface("eth0", (ipaddress.ip_interface("192.168.1.5/24"),)),
)


@pytest.fixture
def surroundings() -> Surroundings:
    return Surroundings(lambda: LAN, allow=(), configured="")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "state") as store:
        yield store


def test_configured_servers_are_taken_at_their_word(
    tmp_path: Path, surroundings: Surroundings
) -> None:
    config = make_config(tmp_path, DNS_UPSTREAM="192.168.1.5,1.1.1.1:5353")
    assert read_servers(config, surroundings, 53) == (("192.168.1.5", 53), ("1.1.1.1", 5353))


def test_of_the_system_s_servers_the_box_itself_is_left_out(
    tmp_path: Path, surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 192.168.1.5\nnameserver 192.168.1.1\nsearch lan\n")
    monkeypatch.setattr(assembly, "RESOLV_CONF", resolv_conf)
    config = make_config(tmp_path, DNS_UPSTREAM="")
    assert read_servers(config, surroundings, 53) == (("192.168.1.1", 53),)
    both = (("192.168.1.5", 53), ("192.168.1.1", 53))
    assert read_servers(config, surroundings, 10053) == both
    resolv_conf.unlink()
    assert read_servers(config, surroundings, 53) == ()


def test_the_origin_is_checked_by_the_nearest_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system: list[str | None] = ["/a.pem"]
    own = make_config(tmp_path, ORIGIN_CA_FILE=certifi.where())
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(cafile=system[0]))
    assert find_roots(own) == certifi.where()
    assert find_roots(make_config(tmp_path)) == "/a.pem"
    system[0] = None
    assert find_roots(make_config(tmp_path)) == certifi.where()


def test_a_pseudonym_is_a_box_s_own_and_tells_nothing_of_its_secret() -> None:
    one, other = make_pseudonym(b"a" * 32), make_pseudonym(b"b" * 32)
    assert one == make_pseudonym(b"a" * 32)
    assert one != other
    assert one.startswith("ollama-appliance-")
    assert (b"a" * 32).hex()[:6] not in one


async def test_look_ups_refuse_the_lan_unless_told(
    tmp_path: Path, surroundings: Surroundings
) -> None:
    resolver = make_resolver(make_config(tmp_path), surroundings, ())
    with pytest.raises(AddressRefusedError):
        await resolver.resolve("192.168.1.9")
    config = make_config(tmp_path, ORIGIN_ALLOW_PRIVATE="true")
    resolver = make_resolver(config, surroundings, ())
    assert await resolver.resolve("192.168.1.9") == ("192.168.1.9",)


async def test_every_repository_but_the_box_s_own_is_the_origin_s(
    tmp_path: Path, surroundings: Surroundings
) -> None:
    config = make_config(tmp_path, CACHE_OFFLINE="false")
    builtin = BuiltinSource()
    async with make_origin(config, make_resolver(config, surroundings, ()), "me") as origin:
        source_for = choose_source(config, origin, builtin)
        assert source_for(BUILTIN.repository) is builtin
        assert source_for(Repository("library", "tiny")) is origin
        offline = choose_source(make_config(tmp_path), origin, builtin)
        assert offline(BUILTIN.repository) is builtin
        assert isinstance(offline(Repository("library", "tiny")), OfflineSource)


async def test_the_registry_is_told_of_the_operator_s_choices(
    tmp_path: Path, store: Store, surroundings: Surroundings
) -> None:
    config = make_config(
        tmp_path,
        BLOBS_FALLBACK="refuse",
        BLOBS_DELIVERY="plain",
        BLOBS_REFUSE_PRIVATE_FROM="0.40.0",
        BOX_ADDRESS="10.0.0.9",
        CACHE_MIN_FREE="1GiB",
    )
    origin = make_origin(config, make_resolver(config, surroundings, ()), "me")
    cache = make_cache(config, store, origin, BuiltinSource(), Clock())
    assert cache.janitor.budget().min_free_bytes == 2**30
    blobs = make_registry(
        config,
        cache,
        b"s" * 32,
        web_port=8081,
        tls_port=8443,
        is_blob_host_offered=lambda request: True,
        can_send_inline=False,
        proxy_port=3128,
        now=Clock(),
    ).blobs
    assert blobs.policy.refuse_private_from == (0, 40, 0)
    assert blobs.policy.fallback is Fallback.REFUSE
    assert blobs.policy.urls is Urls.PLAIN
    assert blobs.proxy_port == 3128
    assert (blobs.blob_host, blobs.tls_port) == ("ollama-blobs.home.arpa", 8443)
    assert (blobs.address, blobs.port, blobs.secret) == ("10.0.0.9", 8081, b"s" * 32)
    assert not blobs.can_send_inline


async def test_a_part_of_the_disk_is_a_part_of_its_size(
    tmp_path: Path, store: Store, surroundings: Surroundings
) -> None:
    config = make_config(tmp_path, CACHE_MIN_FREE="50%")
    origin = make_origin(config, make_resolver(config, surroundings, ()), "me")
    cache = make_cache(config, store, origin, BuiltinSource(), Clock())
    assert cache.janitor.budget().min_free_bytes > 2**20


def test_dns_is_told_all_it_needs(tmp_path: Path, surroundings: Surroundings) -> None:
    config = make_config(
        tmp_path / "state",
        BOX_ADDRESS="",
        BOX_LISTEN="192.168.1.5,203.0.113.10,::",
        DNS_TTL_SECONDS="7",
        BLOBS_ADDRESS="2001:db8::10,203.0.113.10",
        BLOBS_PUBLISHED="true",
    )
    place = make_blob_place(config, b"s" * 32)
    settings = make_dns_settings(config, place, surroundings, (("1.1.1.1", 53),), 5353)
    assert settings.port == 5353
    assert settings.intercepted == NAMES[:1]
    assert settings.blob_host == NAMES[1]
    assert settings.upstream == (("1.1.1.1", 53),)
    assert settings.listen == ("192.168.1.5", "203.0.113.10", "::")
    assert settings.box_address == ""
    assert settings.blob_addresses == ("203.0.113.10", "2001:db8::10")
    assert settings.is_blob_host_published
    assert settings.ttl_seconds == 7
    assert "192.168.1.0/24" in settings.allow


def test_what_is_announced_is_the_address_that_was_set_or_one_of_the_box_s_own(
    tmp_path: Path,
) -> None:
    announce = {"BOX_LISTEN": "", "BLOBS_ANNOUNCE": "true"}
    place = make_blob_place(make_config(tmp_path, **announce), b"s" * 32)
    assert place.announced.startswith("64:ff9b:1:")
    assert not place.configured
    both = make_config(tmp_path, BLOBS_ADDRESS="203.0.113.10,2001:db8::10", **announce)
    place = make_blob_place(both, b"s" * 32)
    assert (place.announced, place.configured.v4) == ("2001:db8::10", ("203.0.113.10",))
    assert place.configured.v6 == ()


def test_the_proxy_door_opens_both_names_of_ours_and_knows_its_own_addresses(
    tmp_path: Path,
) -> None:
    config = make_config(tmp_path, PROXY_TUNNEL="a.example,*.b.example", BOX_ADDRESS="192.0.2.9")
    surroundings = Surroundings(lambda: LAN, allow=(), configured="192.0.2.9")
    admission = make_admission(surroundings)
    rules = make_proxy_rules(config, surroundings, admission, frozenset({80}), "box")
    assert rules.opened == frozenset(NAMES)
    assert rules.tunnelled == ("a.example", "*.b.example")
    assert set(rules.own_addresses()) == {"127.0.0.1", "192.168.1.5", "192.0.2.9"}
    assert (rules.http_ports, rules.pseudonym) == (frozenset({80}), "box")
    assert rules.is_allowed("192.168.1.77")
    assert not rules.is_allowed("203.0.113.1")
    assert rules.turnstile is admission.turnstile
    assert rules.turnstile.connections_max > 0


def test_a_leaf_is_renewed_when_it_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = open_authority(tmp_path / "ca", NAMES, now=datetime.now(UTC))
    keeper = LeafKeeper(authority, NAMES)
    first = keeper.current()
    keeper.renew_when_due()
    assert keeper.current() is first

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + LEAF_LIFE * 2 / 3

    monkeypatch.setattr(assembly, "datetime", Later)
    keeper.renew_when_due()
    assert keeper.current() is not first
    assert keeper.current().not_after > first.not_after
