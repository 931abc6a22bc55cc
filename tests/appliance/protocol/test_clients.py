"""Clients: every User-Agent that was ever seen, and whatever text exists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.clients import (
    Client,
    Version,
    is_signed_by_habit,
    parse_client,
    parse_version,
)

VERSIONS = {
    "ollama/0.33.0 (amd64 linux) Go/go1.26.6": (0, 33, 0),
    "ollama/0.33.0-rc2 (amd64 linux) Go/go1.26.6": (0, 33, 0),
    "ollama/v0.36.0 (arm64 darwin) Go/go1.27.0": (0, 36, 0),
    "ollama/0.1.2": (0, 1, 2),
    "ollama/1.0.0-beta.1": (1, 0, 0),
    "ollama/9999.9999.9999": (9999, 9999, 9999),
}
OF_THE_EXPERIMENT = {
    "ollama/v0.5.14 (arm64 darwin) Go/go1.24.0": (0, 5, 14),
    "ollama/v0.31.1 (amd64 linux) Go/go1.26.0": (0, 31, 1),
    "ollama/v0.6.1-0.20250320150000-0123456789ab+dirty (x)": (0, 6, 1),
    "ollama/v0.0.0 (amd64 linux) Go/go1.24.0": None,
    "ollama/v0.0.0-20250101 (x)": None,
}
OF_NO_VERSION = [
    *(
        "ollama/0.0.0 (amd64 linux) Go/go1.26.6",
        "ollama/",
        "ollama/1",
    ),
    *(
        "ollama/0.33",
        "ollama/0.33.0.1",
        "ollama/0.33.0+dirty",
        "ollama/0.33.0-",
        "ollama/10000.0.0",
    ),
    *("ollama/\u0660.\u0663\u0663.\u0660", "ollama/0.33.0\n", "ollama/0.33.0 (a\nb)"),
]
OTHERS = [
    *("", "curl/8.5.0", "Go-http-client/1.1", "Ollama/0.33.0", " ollama/0.33.0", "ollama"),
    *("ollama-appliance/0.1.0", "skopeo/1.13", "Mozilla/5.0 ollama/0.33.0"),
]

numbers = st.integers(0, 9999)


@pytest.mark.parametrize("user_agent", VERSIONS)
def test_a_release_and_what_comes_before_it_have_its_number(user_agent: str) -> None:
    assert parse_client(user_agent) == Client(is_ollama=True, version=VERSIONS[user_agent])


@pytest.mark.parametrize("user_agent", OF_NO_VERSION)
def test_an_ollama_s_version_may_be_unknown(user_agent: str) -> None:
    assert parse_client(user_agent) == Client(is_ollama=True, version=None)


@pytest.mark.parametrize("user_agent", OF_THE_EXPERIMENT)
def test_the_experimental_puller_says_a_module_s_version(user_agent: str) -> None:
    version = OF_THE_EXPERIMENT[user_agent]
    assert parse_client(user_agent) == Client(True, version, follows_redirects=True)


@pytest.mark.parametrize("user_agent", ["ollama-transfer/1.0", "ollama-transfer/2.0 (x)"])
def test_the_tensor_path_says_no_version_of_ollama(user_agent: str) -> None:
    assert parse_client(user_agent) == Client(True, None, is_tensor=True)


@pytest.mark.parametrize("user_agent", OTHERS)
def test_others_are_no_ollama(user_agent: str) -> None:
    assert parse_client(user_agent) == Client(is_ollama=False)


@given(st.text() | st.text().map("ollama/{}".format) | st.from_regex(r"ollama/[0-9.v-]{0,20}.*"))
def test_any_text_is_some_client(user_agent: str) -> None:
    client = parse_client(user_agent)
    assert client.is_ollama == user_agent.startswith(("ollama/", "ollama-transfer/"))
    assert client.version is None or client.version > (0, 0, 0)


@given(st.tuples(numbers, numbers, numbers))
def test_a_version_is_read_as_it_is_written(version: Version) -> None:
    text = ".".join(map(str, version))
    assert parse_version(text) == parse_version(f"v{text}") == version


@pytest.mark.parametrize(
    "text", ["", "0.35", "0.35.2-rc1", "0.35.2 ", "0.35.2\n", "-1.0.0", "0.35.10000", "newest"]
)
def test_what_is_no_version_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a version such as 0\.35\.2"):
        parse_version(text)


@pytest.mark.parametrize(
    ("authorization", "is_by_habit"),
    [
        ("Bearer aHR0cHM6Ly9vbGxhbWEuY29tP3RzPTE=:AAAAC3NzaC1lZDI1NTE5:c2lnbmF0dXJl+/A==", True),
        ("Bearer a:b:c", True),
        ("Bearer eyJhbGciOi.eyJpc3Mi.c2ln-_0=", False),
        ("Bearer abc", False),
        ("Bearer a:b", False),
        ("Bearer a:b:c:d", False),
        ("Bearer a::c", False),
        ("Bearer a:b:c, Bearer d", False),
        ("AAAAC3NzaC1lZDI1NTE5:c2ln", False),
        ("Basic YTpiOmM=", False),
        ("bearer a:b:c", False),
        ("", False),
    ],
)
def test_a_signature_by_habit_is_told_from_a_token(authorization: str, is_by_habit: bool) -> None:
    assert is_signed_by_habit(authorization) is is_by_habit
