"""Who gets which answer, while the box is well, unwell, silent and gone."""

from dataclasses import replace
from ipaddress import ip_interface

import pytest

from appliance.dns import answerer as answerer_module
from appliance.dns.answerer import SILENCE_SECONDS, USE_SECONDS, Answerer, Forwarded
from appliance.dns.settings import Beat, Settings
from appliance.policy.addresses import Interface
from tests.appliance.dns.questions import BLOBS, REGISTRY, packet, records

LAN = Interface("eth0", (ip_interface("192.168.1.5/24"), ip_interface("2001:db8:1::5/64")))
SETTINGS = Settings("/state", 53, ("Registry.Ollama.AI.",), f"{BLOBS}.", truth=("1.1.1.1",))
CLIENT, LOCAL = "192.168.1.77", "192.168.1.5"
WELL = Beat(is_healthy=True, truth=("104.21.75.227",))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """An answerer on the LAN, with a clock to turn."""

    def __init__(self, settings: Settings = SETTINGS, beat: Beat | None = WELL) -> None:
        self.clock = Clock()
        self.uses: list[str] = []
        self.answerer = Answerer(settings, tell_use=self.uses.append, clock=self.clock)
        self.answerer.learn_interfaces([LAN])
        if beat is not None:
            self.answerer.learn_beat(beat)

    def ask(
        self, name: str, rtype: str = "A", *, client: str = CLIENT, local: str = LOCAL
    ) -> list[str] | None:
        """The reply's records; None where it is to be forwarded."""
        outcome = self.answerer.answer(packet(name, rtype), client, local)
        return None if isinstance(outcome, Forwarded) else records(outcome)


def test_the_registry_is_the_box_at_the_address_that_was_asked() -> None:
    bench = Bench()
    assert bench.ask(REGISTRY) == ["192.168.1.5"]
    assert bench.ask(REGISTRY, "AAAA") == ["2001:db8:1::5"]
    assert bench.ask("example.com") is None


def test_the_blob_host_is_the_box_s_global_address_unless_told_another() -> None:
    assert Bench().ask(BLOBS) == []
    assert Bench().ask(BLOBS, "AAAA") == ["2001:db8:1::5"]
    told = Bench(replace(SETTINGS, blob_addresses=("203.0.113.10",)))
    assert told.ask(BLOBS) == []  # The machine has no such address yet.
    told.answerer.learn_interfaces([LAN, Interface("lo", (ip_interface("203.0.113.10/32"),))])
    assert told.ask(BLOBS) == ["203.0.113.10"]
    assert told.ask(BLOBS, "AAAA") == ["2001:db8:1::5"]


def test_a_published_blob_host_is_answered_wherever_it_is() -> None:
    bench = Bench(replace(SETTINGS, blob_addresses=("203.0.113.10",), is_blob_host_published=True))
    assert bench.ask(BLOBS) == ["203.0.113.10"]


def test_an_announced_address_stands_in_where_there_is_no_global_one() -> None:
    bench = Bench(replace(SETTINGS, blob_announced="64:ff9b:1:0::1"))
    assert bench.ask(BLOBS, "AAAA") == ["2001:db8:1::5"]
    home = ("192.168.1.5/24", "64:ff9b:1::1/128")
    bench.answerer.learn_interfaces([Interface("eth0", tuple(map(ip_interface, home)))])
    assert bench.ask(BLOBS, "AAAA") == ["64:ff9b:1::1"]
    assert bench.ask(REGISTRY, "AAAA") == []


def test_a_prefix_that_changes_is_followed() -> None:
    bench = Bench()
    homes = ("192.168.1.5/24", "2001:db8:1::5/64", "2001:db8:2::5/64")
    old = frozenset({"2001:db8:1::5"})
    bench.answerer.learn_interfaces([Interface("eth0", tuple(map(ip_interface, homes)), old)])
    assert bench.ask(BLOBS, "AAAA") == ["2001:db8:2::5"]
    assert bench.ask(REGISTRY, "AAAA") == ["2001:db8:2::5"]


def test_a_configured_address_is_the_box_s() -> None:
    bench = Bench(replace(SETTINGS, box_address="192.168.1.200"))
    assert bench.ask(REGISTRY) == ["192.168.1.200"]
    assert bench.ask(REGISTRY, "AAAA") == []


def test_before_the_first_beat_dns_is_open() -> None:
    bench = Bench(beat=None)
    assert bench.ask(REGISTRY) == ["1.1.1.1"]
    bench.answerer.learn_beat(WELL)
    assert bench.ask(REGISTRY) == ["192.168.1.5"]


def test_silence_opens_and_a_beat_closes() -> None:
    bench = Bench()
    bench.clock.now += SILENCE_SECONDS - 0.01
    assert bench.ask(REGISTRY) == ["192.168.1.5"]
    bench.clock.now += 0.01
    assert bench.answerer.is_open
    assert bench.ask(REGISTRY) == ["104.21.75.227"]
    assert bench.ask(BLOBS, "AAAA") == ["2001:db8:1::5"]  # For who is in the middle of a pull.
    bench.answerer.learn_beat(WELL)
    assert bench.ask(REGISTRY) == ["192.168.1.5"]


def test_a_box_that_says_it_is_unwell_opens_at_once() -> None:
    bench = Bench()
    bench.answerer.learn_beat(replace(WELL, is_healthy=False))
    assert bench.ask(REGISTRY) == ["104.21.75.227"]


def test_a_box_that_is_gone_opens_at_once_and_its_last_truth_stays() -> None:
    bench = Bench()
    bench.answerer.learn_death()
    assert bench.ask(REGISTRY) == ["104.21.75.227"]
    bench.clock.now += 86400
    assert bench.ask(REGISTRY) == ["104.21.75.227"]
    assert bench.ask("example.com") is None


def test_a_beat_that_knows_no_truth_leaves_the_last() -> None:
    bench = Bench(beat=Beat(is_healthy=False))
    assert bench.ask(REGISTRY) == ["1.1.1.1"]


def test_open_and_without_any_truth_the_question_is_passed_on_briefly() -> None:
    bench = Bench(replace(SETTINGS, truth=()), beat=None)
    outcome = bench.answerer.answer(packet(REGISTRY), CLIENT, LOCAL)
    assert isinstance(outcome, Forwarded)
    assert outcome.is_brief


def test_a_new_truth_replaces_the_old_one() -> None:
    bench = Bench(beat=Beat(is_healthy=False, truth=("1.0.0.1",)))
    assert bench.ask(REGISTRY) == ["1.0.0.1"]
    bench.answerer.learn_beat(Beat(is_healthy=False, truth=("1.0.0.2",)))
    assert bench.ask(REGISTRY) == ["1.0.0.2"]


def test_new_addresses_of_the_machine_are_answered_with() -> None:
    bench = Bench()
    assert bench.ask(REGISTRY, local="127.0.0.1") == ["192.168.1.5"]
    bench.answerer.learn_interfaces([Interface("eth0", (ip_interface("10.0.0.5/8"),))])
    assert bench.ask(REGISTRY, client="10.1.1.1", local="127.0.0.1") == ["10.0.0.5"]


def test_each_query_gets_its_own_id_and_case_back() -> None:
    answerer = Bench().answerer
    for identifier in (1, 2, 65535):
        for name in (REGISTRY, "rEGISTRY.ollama.ai"):
            sent = packet(name, identifier=identifier)
            reply = answerer.answer(sent, CLIENT, LOCAL)
            assert isinstance(reply, bytes)
            assert (reply[:2], reply[12 : len(sent)]) == (sent[:2], sent[12:])


def test_however_many_ask_and_are_remembered_the_answers_stay_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answerer_module, "REPLIES_MAX", 4)
    monkeypatch.setattr(answerer_module, "CLIENTS_MAX", 4)
    bench = Bench()
    for number in range(20):
        sent = packet(REGISTRY, udp_len=512 + number % 10)
        for client, answer in ((f"10.0.0.{number % 10}", "192.168.1.5"), ("1.1.1.1", "rcode 5")):
            assert records(bench.answerer.answer(sent, client, LOCAL)) == [answer]


def test_a_long_query_is_answered_as_well() -> None:
    sent = bytearray(packet(REGISTRY, udp_len=1232))
    sent[-2:] = (600).to_bytes(2)
    sent += bytes(600)
    answerer = Bench().answerer
    for _ in range(2):
        assert records(answerer.answer(bytes(sent), CLIENT, LOCAL)) == ["192.168.1.5"]


def test_the_box_learns_which_clients_are_led_to_it_and_not_too_often() -> None:
    bench = Bench()
    for _ in range(5):
        bench.ask(REGISTRY)
        bench.ask(REGISTRY, client="192.168.1.78")
    assert bench.uses == [CLIENT, "192.168.1.78"]
    bench.clock.now += USE_SECONDS
    bench.answerer.learn_beat(WELL)
    bench.ask(REGISTRY)
    assert bench.uses[2:] == [CLIENT]


def test_what_does_not_lead_a_client_to_the_box_is_no_use_of_it() -> None:
    bench = Bench()
    bench.ask("example.com")
    bench.ask(REGISTRY, "HTTPS")
    bench.ask(REGISTRY, client="1.1.1.1")
    bench.ask(REGISTRY, client=LOCAL)  # The box, looking after itself.
    bench.answerer.learn_death()
    bench.ask(REGISTRY)
    assert bench.uses == []


@pytest.mark.parametrize("client", ["1.1.1.1", "100.64.0.1", "2001:db8:2::1", "::ffff:1.1.1.1"])
@pytest.mark.parametrize("name", [REGISTRY, BLOBS, "example.com"])
def test_strangers_are_refused(client: str, name: str) -> None:
    assert Bench().ask(name, client=client) == ["rcode 5"]


@pytest.mark.parametrize("client", ["10.1.1.1", "127.0.0.1", "2001:db8:1::77", "fe80::1%eth0"])
def test_the_local_networks_are_welcome(client: str) -> None:
    assert Bench().ask(REGISTRY, client=client) == ["192.168.1.5"]


def test_a_configured_rule_replaces_the_local_networks() -> None:
    bench = Bench(replace(SETTINGS, allow=("203.0.113.0/24",)))
    assert bench.ask(REGISTRY, client="203.0.113.9") == ["192.168.1.5"]
    assert bench.ask(REGISTRY, client=CLIENT) == ["rcode 5"]


def test_a_client_that_has_too_much_forwarded_is_refused_and_others_are_not() -> None:
    bench = Bench(replace(SETTINGS, questions_per_minute=20))
    packets = [packet("www.lan") for _ in range(21)]
    outcomes = [bench.answerer.answer(each, CLIENT, LOCAL) for each in packets]
    assert all(isinstance(each, Forwarded) for each in outcomes[:20])
    assert records(outcomes[20]) == ["rcode 5"]
    other = bench.answerer.answer(packets[0], "192.168.1.78", LOCAL)
    assert isinstance(other, Forwarded)


def test_what_is_ours_is_answered_however_often_it_is_asked() -> None:
    bench = Bench(replace(SETTINGS, questions_per_minute=20))
    for _ in range(100):
        assert bench.ask(REGISTRY) == ["192.168.1.5"]


def test_a_router_asks_for_everybody_behind_it() -> None:
    bench = Bench(replace(SETTINGS, questions_per_minute=20))
    bench.answerer.learn_routers(["192.168.1.1", "fe80::1%eth0"])
    for _ in range(100):
        assert isinstance(bench.answerer.answer(packet("www.lan"), "192.168.1.1", LOCAL), Forwarded)


@pytest.mark.parametrize("client", [CLIENT, "1.1.1.1"])
def test_garbage_is_met_with_an_error_or_silence(client: str) -> None:
    answerer = Bench().answerer
    assert answerer.answer(b"garbage", client, LOCAL) is None
    assert records(answerer.answer(packet(REGISTRY)[:-1], client, LOCAL)) == ["rcode 1"]


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, allow=("home",)),
        replace(SETTINGS, truth=("registry.ollama.ai",)),
        replace(SETTINGS, blob_addresses=("203.0.113.300",)),
        replace(SETTINGS, blob_announced="64:ff9b:1"),
        replace(SETTINGS, box_address="box"),
    ],
)
def test_settings_that_name_no_address_are_refused_at_once(settings: Settings) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        Answerer(settings)
