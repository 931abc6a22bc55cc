"""The lines that the box and its DNS process exchange."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dns.settings import (
    Answered,
    Beat,
    Failure,
    Listening,
    Settings,
    Stop,
    format_report,
    format_settings,
    format_word,
    parse_report,
    parse_settings,
    parse_word,
)

PLAIN = Settings("/state", 53, ("registry.ollama.ai",), "ollama-blobs.home.arpa")

names = st.lists(st.text(), max_size=3).map(tuple)
servers = st.lists(st.tuples(st.text(), st.integers(0, 65535)), max_size=3).map(tuple)
settings = st.builds(
    Settings,
    state_dir=st.text(),
    port=st.integers(0, 65535),
    intercepted=names,
    blob_host=st.text(),
    upstream=servers,
    listen=names,
    box_address=st.text(),
    blob_addresses=names,
    blob_announced=st.text(),
    is_blob_host_published=st.booleans(),
    allow=names,
    truth=names,
    ttl_seconds=st.integers(0, 2**31 - 1),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
PARSERS: list[Callable[[bytes], object]] = [parse_settings, parse_word, parse_report]


@given(settings)
def test_settings_arrive_as_they_were_sent(sent: Settings) -> None:
    line = format_settings(sent)
    assert line.count(b"\n") == 1
    assert parse_settings(line) == sent


@given(st.booleans(), st.lists(st.ip_addresses().map(str)).map(tuple))
def test_a_beat_arrives_as_it_was_sent(is_healthy: bool, truth: tuple[str, ...]) -> None:
    beat = Beat(is_healthy, truth)
    assert parse_word(format_word(beat)) == beat


def test_an_answered_arrives_as_it_was_sent() -> None:
    assert parse_report(format_report(Answered("10.0.0.9"))) == Answered("10.0.0.9")


def test_a_stop_arrives_as_it_was_sent() -> None:
    assert parse_word(format_word(Stop())) == Stop()
    assert parse_word(b'{"stop": true}') == Stop()


@given(servers.filter(bool), st.lists(st.tuples(st.text(), st.text())).map(tuple))
def test_listening_arrives_as_it_was_sent(
    listening: tuple[tuple[str, int], ...], skipped: tuple[tuple[str, str], ...]
) -> None:
    report = Listening(listening, skipped)
    assert parse_report(format_report(report)) == report


@given(st.text(), st.text())
def test_a_failure_arrives_as_it_was_sent(error: str, hint: str) -> None:
    assert parse_report(format_report(Failure(error, hint))) == Failure(error, hint)


@pytest.mark.parametrize(
    "change",
    [
        {"port": 65536},
        {"port": -1},
        {"port": True},
        {"port": "53"},
        {"port": None},
        {"state_dir": None},
        {"intercepted": "registry.ollama.ai"},
        {"intercepted": [1]},
        {"upstream": [["1.1.1.1"]]},
        {"upstream": [["1.1.1.1", 53, 1]]},
        {"upstream": ["1.1.1.1"]},
        {"colour": "blue"},
    ],
    ids=str,
)
def test_settings_of_another_shape_are_refused(change: dict[str, object]) -> None:
    document = json.loads(format_settings(PLAIN)) | change
    with pytest.raises(ValueError):  # noqa: PT011  # Which one is for the eyes of developers.
        parse_settings(json.dumps(document).encode())


@pytest.mark.parametrize(
    "line",
    [
        b'{"beat": true}',
        b'{"beat": true, "is_healthy": 1}',
        b'{"is_healthy": true}',
        b'{"beat": true, "is_healthy": true, "truth": ["registry.ollama.ai"]}',
        b'{"beat": true, "is_healthy": true, "truth": "1.1.1.1"}',
        b'{"stop": 1}',
        b"",
        b"[" * 100_000,
    ],
)
def test_what_is_no_word_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # Which one is for the eyes of developers.
        parse_word(line)


def test_listening_nowhere_is_no_report() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        parse_report(b'{"listening": []}')


@pytest.mark.parametrize("parse", PARSERS)
@given(line=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_understood_or_a_value_error(
    parse: Callable[[bytes], object], line: bytes
) -> None:
    try:
        parse(line)
    except ValueError:
        return
