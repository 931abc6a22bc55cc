"""Requests and replies as values."""

from dataclasses import replace

import pytest

from appliance.registry.requests import Answer, PassThrough
from tests.appliance.registry.requesting import BY_HTTPS, CURL


def test_the_client_is_read_from_its_user_agent() -> None:
    assert BY_HTTPS.client.version == (0, 31, 1)
    assert not replace(BY_HTTPS, user_agent=CURL).client.is_ollama
    assert not replace(BY_HTTPS, user_agent="").client.is_ollama


def test_an_answer_is_empty_unless_said() -> None:
    assert (dict(Answer(204).fields), Answer(204).content) == ({}, b"")


def test_values_do_not_change() -> None:
    with pytest.raises(AttributeError):
        BY_HTTPS.method = "PUT"  # type: ignore[misc]
    assert PassThrough() == PassThrough()
