"""Grants: ours open their blob, and nothing else does, whatever the query says."""

from dataclasses import replace
from urllib.parse import parse_qs, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.grants import (
    ACTIVE_SECONDS,
    GRANT_SECONDS,
    Grant,
    format_grant,
    is_valid,
    read_grant,
)
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.errors import Denied
from appliance.protocol.reference import Repository, parse_repository

SECRET = b"only of these tests"
NOON = 1_700_000_000
GRANT = Grant(digest_of(b"weights"), Repository("library", "tiny"), NOON + GRANT_SECONDS)

secrets = st.binary(min_size=1, max_size=64)
digests = st.binary(min_size=32, max_size=32).map(lambda raw: Digest(raw.hex()))
repositories = st.builds(
    Repository,
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", fullmatch=True),
)
grants = st.builds(Grant, digests, repositories, st.integers(-(10**12), 10**12))


def fields_of(grant: Grant) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(format_grant(SECRET, grant)).items()}


@given(secrets, grants)
def test_a_grant_reads_back(secret: bytes, grant: Grant) -> None:
    assert read_grant(secret, grant.digest, format_grant(secret, grant)) == grant


@given(grants)
def test_it_needs_no_escapes_and_survives_them(grant: Grant) -> None:
    query = format_grant(SECRET, grant)
    assert query == quote(query, safe="=&/")
    assert read_grant(SECRET, grant.digest, query.replace("/", "%2F")) == grant


@given(secrets, secrets, grants)
def test_it_is_worth_nothing_under_another_secret(ours: bytes, theirs: bytes, grant: Grant) -> None:
    if ours != theirs:
        with pytest.raises(Denied):
            read_grant(ours, grant.digest, format_grant(theirs, grant))


@given(grants, digests)
def test_it_opens_no_other_blob(grant: Grant, other: Digest) -> None:
    if other != grant.digest:
        with pytest.raises(Denied):
            read_grant(SECRET, other, format_grant(SECRET, grant))


@given(grants, grants)
def test_no_other_grant_has_its_signature(one: Grant, other: Grant) -> None:
    """What is signed is unambiguous: two grants that differ anywhere are signed differently."""
    assert (one == other) == (fields_of(one)["signature"] == fields_of(other)["signature"])


def test_parts_do_not_run_into_one_another() -> None:
    longer = replace(GRANT, repository=Repository("library", "tiny-1"))
    later = replace(GRANT, expires_at=int(f"1{GRANT.expires_at}"))
    assert len({fields_of(each)["signature"] for each in (GRANT, longer, later)}) == 3


@given(grants, repositories, st.integers(-(10**12), 10**12), st.integers(0, 63))
def test_any_change_is_denied(grant: Grant, repository: Repository, moment: int, at: int) -> None:
    fields = fields_of(grant)
    signature = fields["signature"]
    turned = "0" if signature[at] != "0" else "1"
    changes = [
        {"model": str(repository)},
        {"expires": str(moment)},
        {"signature": signature[:at] + turned + signature[at + 1 :]},
        {"signature": signature[:at]},
        {"signature": signature + turned},
    ]
    for change in changes:
        if fields | change != fields:
            with pytest.raises(Denied):
                read_grant(SECRET, grant.digest, urlencode(fields | change))


def test_a_model_in_other_letters_is_another_model() -> None:
    fields = fields_of(GRANT) | {"model": "library/Tiny"}
    with pytest.raises(Denied):
        read_grant(SECRET, GRANT.digest, urlencode(fields))


@pytest.mark.parametrize("spelling", ["+{}", " {}", "{} ", "0{}", "{}.0", "{}_0", "{:_}", "{:e}"])
def test_the_same_moment_spelt_otherwise_is_denied(spelling: str) -> None:
    fields = fields_of(GRANT) | {"expires": spelling.format(GRANT.expires_at)}
    with pytest.raises(Denied):
        read_grant(SECRET, GRANT.digest, urlencode(fields))


def test_other_digits_than_ascii_s_are_denied() -> None:
    there = "".join(chr(0x660 + int(digit)) for digit in str(GRANT.expires_at))
    with pytest.raises(Denied):
        read_grant(SECRET, GRANT.digest, urlencode(fields_of(GRANT) | {"expires": there}))


OURS = format_grant(SECRET, GRANT)
NONSENSE = [
    *("", "?", "&", "=", "&&&", "expires", "expires=", "expires=1", "a=b", "%", "%zz", "\0"),
    OURS.partition("&")[2],
    OURS.rpartition("&")[0],
    f"{OURS}&",
    f"{OURS}&expires=1",
    f"{OURS}&model=library/tiny",
    f"{OURS}&signature={'0' * 64}",
    "&".join([OURS, *(f"a{number}=1" for number in range(9))]),
    OURS.replace("expires=", "expires=" + "9" * 5000),
    OURS.replace("expires=", "expires=-"),
    OURS.replace("expires=", "expires=nan"),
    OURS.replace("model=library/", "model="),
    OURS.replace("model=library/", "model=../"),
    OURS.replace("model=", "model=%0A"),
    OURS.replace("signature=", "signature=%C3%A9"),
    OURS.replace("signature=", "signature=%FF"),
    OURS.replace("signature=", "signature=\xe9"),
    OURS.replace("signature=", "signature=\udcff"),
    OURS.replace("model=", "model=\udcff"),
    OURS.replace("signature=", "signature=%00"),
    OURS.replace("&", ";"),
    OURS.replace("signature", "Signature"),
    OURS[:-64] + OURS[-64:].upper(),
]


@pytest.mark.parametrize("query", NONSENSE)
def test_nonsense_is_denied(query: str) -> None:
    with pytest.raises(Denied):
        read_grant(SECRET, GRANT.digest, query)


@given(
    st.text()
    | st.text(st.characters(codec=None), max_size=20).map(f"{OURS}".__add__)
    | st.lists(
        st.tuples(st.sampled_from(["expires", "model", "signature", "x"]), st.text()), max_size=12
    ).map(urlencode)
)
def test_any_query_is_a_grant_or_denied(query: str) -> None:
    try:
        grant = read_grant(SECRET, GRANT.digest, query)
    except Denied:
        return
    assert grant == GRANT


def test_a_further_field_is_nobody_s_harm() -> None:
    assert read_grant(SECRET, GRANT.digest, f"{OURS}&utm=1") == GRANT


@pytest.mark.parametrize(
    ("now", "used_at", "is_open"),
    [
        (NOON, None, True),
        (GRANT.expires_at - 0.001, None, True),
        (GRANT.expires_at, None, False),
        (GRANT.expires_at, GRANT.expires_at - 1, True),
        (GRANT.expires_at + 5000, GRANT.expires_at + 4990, True),
        (GRANT.expires_at, GRANT.expires_at - ACTIVE_SECONDS + 0.001, True),
        (GRANT.expires_at, GRANT.expires_at - ACTIVE_SECONDS, False),
        (NOON, NOON - 10 * ACTIVE_SECONDS, True),
    ],
)
def test_an_expired_grant_is_honoured_only_while_its_pull_moves(
    now: float, used_at: float | None, is_open: bool
) -> None:
    assert is_valid(GRANT, now, used_at=used_at) is is_open


@given(grants, st.floats(0, 10**12), st.none() | st.floats(0, 10**12))
def test_a_grant_is_open_until_it_expires(grant: Grant, now: float, used_at: float | None) -> None:
    if now < grant.expires_at:
        assert is_valid(grant, now, used_at=used_at)
    elif used_at is None:
        assert not is_valid(grant, now, used_at=used_at)


def test_the_model_in_a_url_is_legible() -> None:
    assert parse_repository(fields_of(GRANT)["model"]) == GRANT.repository
    assert "model=library/tiny" in OURS
