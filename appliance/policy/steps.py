"""What is done of setting a box up, and what comes next: from how it stands to a list of steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How a step stands. The values are what people read."""

    DONE = "done"
    NEXT = "next"
    LATER = "later"
    CHOICE = "choice"  # Nothing is missing without it.


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to have, and what to type for it."""

    state: State
    what: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a box with valid settings stands. `health` is None where it does not run."""

    is_service: bool
    health: str | None
    leads_machines: bool
    url: str
    served_bytes: int
    blobs_missing: bool
    has_password: bool


def list_steps(standing: Standing) -> tuple[Step, ...]:
    """All steps in their order; the first that is not done is the next."""
    steps: list[Step] = []
    for is_done, what, lines in _list_needed(standing):
        if is_done:
            steps.append(Step(State.DONE, what))
        else:
            is_first = all(each.state is State.DONE for each in steps)
            steps.append(Step(State.NEXT if is_first else State.LATER, what, lines))
    return (*steps, *_list_choices(standing))


def _list_needed(standing: Standing) -> Iterator[tuple[bool, str, tuple[str, ...]]]:
    start = "systemctl enable --now ollama-appliance" if standing.is_service else "make run"
    yield True, "the settings hold", ()
    yield standing.health is not None, "the box runs", (start,)
    is_sound = standing.health is not None and standing.health != "unhealthy"
    yield is_sound, "clients can use it", ("ollama-appliance doctor",)
    yield (
        standing.leads_machines,
        "the network's machines are led to it",
        ("ollama-appliance dns snippets", "or hand it out as the DNS server (DHCP option 6)"),
    )
    yield (
        standing.served_bytes > 0,
        "a machine has pulled through it",
        (
            f"on one: curl -fsS {standing.url}/install.sh | sudo sh -s -- --trust",
            "then: ollama pull llama3.2   (or, without trust: ollama pull --insecure llama3.2)",
            "where it does not find the box: ollama-appliance doctor --client --address BOX",
        ),
    )


def _list_choices(standing: Standing) -> Iterator[Step]:
    """What is not needed, where it is not there."""
    if standing.blobs_missing:
        what = "the newest Ollama fetches its blobs here, too"
        yield Step(State.CHOICE, what, ("ollama-appliance blob-address",))
    if not standing.has_password:
        lines = (
            "web.admin_password_file in appliance.conf, or ollama-appliance token create NAME",
        )
        yield Step(State.CHOICE, "changes from the page, or by scripts", lines)
