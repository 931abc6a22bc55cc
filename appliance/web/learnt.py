"""What the box learnt of its clients, as JSON."""

from collections.abc import Mapping
from typing import Any

from appliance.policy.learning import LESSON_SECONDS, Subject
from appliance.web.models import format_instant

FORGET_LEARNT = "forget-learnt"  # The deed's name on the control socket.


def describe_lessons(lessons: Mapping[Subject, float]) -> list[dict[str, Any]]:
    """A row for each, in the order given; `missed` is a value of Delivery."""
    return [
        {
            "client": subject.client_address,
            "version": subject.version and ".".join(map(str, subject.version)),
            "missed": subject.delivery.value,
            "learnt_at": format_instant(learnt_at),
            "until": format_instant(learnt_at + LESSON_SECONDS),
        }
        for subject, learnt_at in lessons.items()
    ]
