"""Names: Ollama's grammar and defaults, case kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.digest import Digest
from appliance.protocol.errors import NameInvalid
from appliance.protocol.reference import (
    Reference,
    Repository,
    format_model_name,
    parse_model_name,
    parse_repository,
)

NAMES = {
    "tiny": "library/tiny:latest",
    "tiny:1b": "library/tiny:1b",
    "Tiny:LATEST": "library/Tiny:LATEST",
    "someone/tiny:1b-q4_K_M": "someone/tiny:1b-q4_K_M",
    "llama3.2": "library/llama3.2:latest",
    "_x/y": "_x/y:latest",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gets_ollamas_defaults(name: str) -> None:
    assert str(parse_model_name(name)) == NAMES[name]


@pytest.mark.parametrize(
    "name", ["", ":", "-x", "a/b/c", "a.b/c", "tiny:-", "x" * 81, "tiny:a/b", "ti ny", "ü", "a//b"]
)
def test_a_name_outside_the_grammar_is_a_verdict(name: str) -> None:
    with pytest.raises(NameInvalid):
        parse_model_name(name)


@given(
    st.from_regex(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,9})?", fullmatch=True
    )
)
def test_the_short_name_means_the_same_model(name: str) -> None:
    reference = parse_model_name(name)
    assert parse_model_name(format_model_name(reference)) == reference


@given(st.text())
def test_any_text_is_a_name_or_a_verdict(text: str) -> None:
    try:
        reference = parse_model_name(text)
    except NameInvalid:
        return
    assert parse_repository(str(reference.repository)) == reference.repository


def test_a_reference_by_digest_has_no_tag() -> None:
    reference = Reference(Repository("library", "tiny"), Digest("ab" * 32))
    assert reference.tag is None
    assert str(reference) == f"library/tiny@sha256:{'ab' * 32}"
    assert format_model_name(reference) == f"tiny@sha256:{'ab' * 32}"
