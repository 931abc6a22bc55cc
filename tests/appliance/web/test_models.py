"""A model as JSON."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.digest import digest_of
from appliance.protocol.reference import parse_model_name
from appliance.store.models import ModelRow
from appliance.web.models import describe_model, format_instant, matches

ROW = ModelRow(
    reference=parse_model_name("llama3.2:1b"),
    digest=digest_of(b"manifest"),
    total_size_bytes=100,
    held_size_bytes=60,
    is_complete=False,
    stored_at=1_700_000_000.5,
    last_pulled_at=None,
    pulls=0,
)
KEYS = {
    *("name", "tag", "size", "modified", "download_url", "manifest_url"),
    *("namespace", "registry", "digest", "complete", "cached_bytes"),
    *("last_pulled", "pulls", "pinned"),
}


def test_a_model_of_the_library_goes_by_its_short_name() -> None:
    told = describe_model(ROW, "http://10.0.0.5", "registry.ollama.ai")
    assert (told["name"], told["tag"], told["namespace"]) == ("llama3.2", "1b", "library")
    assert told["download_url"] == "http://10.0.0.5/models/llama3.2:1b"
    assert told["manifest_url"] == "http://10.0.0.5/v2/library/llama3.2/manifests/1b"
    assert (told["size"], told["cached_bytes"], told["complete"]) == (100, 60, False)
    assert told["modified"] == "2023-11-14T22:13:20Z"
    assert told["digest"] == str(ROW.digest)


def test_the_keys_are_the_documented_ones() -> None:
    assert set(describe_model(ROW, "http://10.0.0.5", "registry.ollama.ai")) == KEYS


def test_somebody_s_model_goes_by_its_whole_name() -> None:
    row = replace(ROW, reference=parse_model_name("someone/tiny"), last_pulled_at=0.0, pulls=3)
    told = describe_model(replace(row, last_pulled_at=60.0), "http://a", "registry.ollama.ai")
    assert (told["name"], told["tag"]) == ("someone/tiny", "latest")
    assert (told["last_pulled"], told["pulls"]) == ("1970-01-01T00:01:00Z", 3)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("", True), ("llama", True), ("LLAMA3.2:1B", True), ("library", True), ("qwen", False)],
)
def test_a_search_is_for_any_part_of_the_name(wanted: str, found: bool) -> None:
    assert matches(ROW, wanted) is found


@given(at=st.floats(0, 4e9))
def test_an_instant_is_always_a_second_in_utc(at: float) -> None:
    text = format_instant(at)
    assert len(text) == len("2023-11-14T22:13:20Z")
    assert text.endswith("Z")
