"""Visitors: whose version the tensor path is taken to have."""

from dataclasses import replace

import pytest

from appliance.protocol.clients import Client
from appliance.registry import visitors as visitors_module
from appliance.registry.visitors import VISIT_SECONDS, Visitors
from tests.appliance.registry.requesting import BY_HTTPS, CURL, OLLAMA_NEW

NOON = 1_700_000_000.0
TENSOR = replace(BY_HTTPS, user_agent="ollama-transfer/1.0")
UNKNOWN = Client(is_ollama=True, is_tensor=True)


def came(user_agent: str) -> Visitors:
    visitors = Visitors()
    visitors.identify(replace(BY_HTTPS, user_agent=user_agent), NOON)
    return visitors


def test_the_tensor_path_has_the_version_last_said_at_its_address() -> None:
    visitors = came("ollama/0.30.0 (x)")
    visitors.identify(replace(BY_HTTPS, user_agent=OLLAMA_NEW), NOON + 1)
    assert visitors.identify(TENSOR, NOON + 2) == replace(UNKNOWN, version=(0, 36, 0))


def test_an_hour_later_it_is_unknown_again() -> None:
    visitors = came(OLLAMA_NEW)
    assert visitors.identify(TENSOR, NOON + VISIT_SECONDS - 1).version == (0, 36, 0)
    assert visitors.identify(TENSOR, NOON + VISIT_SECONDS) == UNKNOWN


@pytest.mark.parametrize(
    "agent", [CURL, "ollama/v0.6.0 (x)", "ollama/0.0.0 (x)", TENSOR.user_agent]
)
def test_what_says_no_version_lends_none(agent: str) -> None:
    assert came(agent).identify(TENSOR, NOON) == UNKNOWN


def test_an_unknown_version_said_last_is_what_counts() -> None:
    visitors = came("ollama/0.30.0 (x)")
    visitors.identify(replace(BY_HTTPS, user_agent="ollama/0.0.0"), NOON + 1)
    assert visitors.identify(TENSOR, NOON + 2) == UNKNOWN


def test_another_address_lends_nothing() -> None:
    elsewhere = replace(TENSOR, client_address="192.168.1.99")
    assert came(OLLAMA_NEW).identify(elsewhere, NOON) == UNKNOWN


def test_others_are_who_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors_module, "VISITORS_MAX", 2)
    visitors = Visitors()
    for number in range(3):
        address = f"10.0.0.{number}"
        new = replace(BY_HTTPS, user_agent=OLLAMA_NEW, client_address=address)
        assert visitors.identify(new, NOON) == new.client
    first, last = (replace(TENSOR, client_address=f"10.0.0.{number}") for number in (0, 2))
    assert visitors.identify(first, NOON) == UNKNOWN
    assert visitors.identify(last, NOON).version == (0, 36, 0)
