"""Lessons as scripts read them."""

from appliance.policy.delivery import Delivery
from appliance.policy.learning import Subject
from appliance.web.learnt import describe_lessons
from tests.fakes.registry import NOON


def test_a_lesson_says_who_what_and_until_when() -> None:
    known = Subject("192.168.1.20", (0, 36, 0), Delivery.TLS)
    unknown = Subject("fd00::20", None, Delivery.REDIRECT)
    first, second = describe_lessons({known: NOON, unknown: NOON + 1})
    assert first == {
        "client": "192.168.1.20",
        "version": "0.36.0",
        "missed": "tls",
        "learnt_at": "2023-11-14T22:13:20Z",
        "until": "2023-11-21T22:13:20Z",
    }
    assert (second["version"], second["missed"]) == (None, "redirect")
