"""What every source says when it cannot: a sentence, and what an operator can do."""

from appliance.upstream.source import OriginMisbehavedError, OriginUnreachableError, Refusal


def test_a_fault_always_has_a_hint() -> None:
    assert "ollama-appliance check" in OriginUnreachableError("away").hint
    assert OriginUnreachableError("away", hint="plug it in").hint == "plug it in"


def test_a_fault_keeps_the_time_that_the_origin_asks_for() -> None:
    assert OriginUnreachableError("busy", retry_after_seconds=7.0).retry_after_seconds == 7.0
    assert OriginUnreachableError("away").retry_after_seconds is None


def test_whoever_can_do_without_the_origin_can_do_without_its_nonsense() -> None:
    fault = OriginMisbehavedError("answers another range")
    assert isinstance(fault, OriginUnreachableError)
    assert str(fault) == "answers another range"


def test_refusals_share_no_fields() -> None:
    Refusal(404).fields["Retry-After"] = "1"
    assert Refusal(404).fields == {}
