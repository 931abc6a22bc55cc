"""Faults: nothing by default, and only as often as asked."""

from appliance.demo.faults import BodyFault, Break, Faults


def test_a_fresh_one_breaks_nothing() -> None:
    faults = Faults()
    assert faults.body is None
    assert not faults.flipped
    assert not faults.is_portal
    assert faults.range_shift_bytes == 0
    assert faults.manifest_status is faults.blob_status is faults.cdn_status is None


def test_a_body_fault_strikes_as_often_as_it_says() -> None:
    fault = BodyFault(Break.RESET, after_bytes=5, times=2)
    assert [fault.strikes() for _ in range(4)] == [True, True, False, False]
