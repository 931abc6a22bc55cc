"""The soak's account: what its own rules say of small, known runs."""

from appliance.policy.waste import BUFFERED_BYTES_MAX
from tests.soak.books import Balance, Losses, read_log

ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
SIZES = {ONE: 1000, TWO: 500}
AT = "2026-11-20T18:39:42Z "


def test_what_was_completed_is_counted_each_time() -> None:
    lines = [
        f"{AT}info cache: filled {ONE} (1000 bytes)",
        f"{AT}info cache: evicted library/x {ONE}",
        f"{AT}info cache: filled {ONE} (1000 bytes)",
        f"recovery: Recorded {TWO} (500 bytes): it was complete.",
    ]
    fetched = read_log(lines, SIZES)
    assert (fetched.filled_count, fetched.filled_bytes) == (3, 2500)


def test_the_box_s_own_model_is_not_counted() -> None:
    lines = [f"{AT}info cache: filled sha256:{'3' * 64} (7 bytes)"]
    assert read_log(lines, SIZES).filled_bytes == 0


def test_wrong_bytes_had_to_be_fetched_and_other_ends_had_not() -> None:
    lines = [
        f"{AT}warning cache: fill of {ONE} ended: expected {ONE}, and the bytes are {TWO}",
        f"{AT}warning cache: fill of {TWO} ended: the origin is away (error 7)",
        f"{AT}warning cache: streaming {TWO} past the store: full",
    ]
    fetched = read_log(lines, SIZES)
    assert (fetched.wrong_count, fetched.wrong_bytes) == (1, 1000)
    assert fetched.ended["the origin is away (error …)"] == 1
    assert fetched.past_store_count == 1


def test_errors_and_tracebacks_are_faults() -> None:
    lines = [f"{AT}error web: it broke", "    Traceback (most recent call last):", f"{AT}info x: y"]
    assert len(read_log(lines, SIZES).faults) == 2


def test_a_connection_that_uvloop_finds_closed_is_none() -> None:
    closed = f"{AT}error asyncio: Fatal error on SSL protocol: closed"
    lines = [closed, "    Traceback (most recent call last):"]
    assert read_log(lines, SIZES).faults == []
    assert len(read_log([*lines, lines[1]], SIZES).faults) == 1


def test_a_kill_costs_what_came_lately_and_no_more() -> None:
    sent = 10_000_000
    losses = Losses(lambda: sent, connections=2)
    losses.look()
    sent += 700
    losses.note_kill()
    assert losses.killed_bytes == 700 + 2 * BUFFERED_BYTES_MAX


def test_a_twentieth_and_what_was_seen_to_be_lost_are_allowed() -> None:
    balance = Balance(fetched=1160, needed=1000, killed=50, cut=40, past_store=20)
    assert balance.is_balanced
    assert not Balance(1161, 1000, 50, 40, 20).is_balanced
