"""Presigned URLs: good for one blob, one spelling, and a while."""

from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from appliance.demo.presign import Forbidden, Presigner
from appliance.protocol.digest import digest_of

DIGEST = digest_of(b"blob")
HOST = "cdn.test:8443"


class Wall:
    def __init__(self) -> None:
        self.now = 1_790_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def presigner(wall: Wall) -> Presigner:
    return Presigner(b"secret", wall, lifetime_seconds=60)


def test_a_signed_target_reads_its_blob(presigner: Presigner) -> None:
    assert presigner.check(HOST, presigner.sign(HOST, DIGEST)) == DIGEST


def test_it_holds_what_re_encoding_would_change(presigner: Presigner) -> None:
    target = presigner.sign(HOST, DIGEST)
    assert all(each in target for each in ("%2F", "%20", "+", "~"))
    assert str(URL(target)) != target == str(URL(target, encoded=True))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda target: str(URL(target)), id="parsed and put together again"),
        pytest.param(lambda target: target.replace("%2F", "%2f"), id="other capitals"),
        pytest.param(lambda target: target.replace("~", "%7E"), id="a tilde encoded"),
        pytest.param(lambda target: target.replace("+", "%20"), id="plus for space"),
        pytest.param(lambda target: quote(unquote(target), safe="/?&="), id="decoded and encoded"),
        pytest.param(lambda target: target[:-1], id="cut"),
        pytest.param(lambda target: target + "&x=1", id="longer"),
        pytest.param(lambda target: target.partition("?")[0], id="no query"),
    ],
)
def test_any_other_spelling_is_forbidden(presigner: Presigner, spoil: Callable[[str], str]) -> None:
    with pytest.raises(Forbidden) as caught:
        presigner.check(HOST, spoil(presigner.sign(HOST, DIGEST)))
    assert caught.value.code == "SignatureDoesNotMatch"
    assert b"<Code>SignatureDoesNotMatch</Code>" in caught.value.document()


def test_it_is_for_one_host(presigner: Presigner) -> None:
    with pytest.raises(Forbidden):
        presigner.check("other.test", presigner.sign(HOST, DIGEST))


def test_it_expires_by_the_clock(presigner: Presigner, wall: Wall) -> None:
    target = presigner.sign(HOST, DIGEST)
    wall.now += 59
    presigner.check(HOST, target)
    wall.now += 1
    with pytest.raises(Forbidden) as caught:
        presigner.check(HOST, target)
    assert caught.value.code == "ExpiredRequest"


def test_expiring_now_ends_the_old_and_spares_the_new(presigner: Presigner) -> None:
    old = presigner.sign(HOST, DIGEST)
    presigner.expire_now()
    with pytest.raises(Forbidden):
        presigner.check(HOST, old)
    presigner.check(HOST, presigner.sign(HOST, DIGEST))


@given(target=st.text())
def test_nonsense_is_forbidden(target: str) -> None:
    with pytest.raises(Forbidden):
        Presigner(b"secret", lambda: 0.0).check(HOST, target)
