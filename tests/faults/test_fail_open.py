"""A box that breaks costs speed, and never a pull longer than its DNS takes to notice.

Each fault is made on a real box in the middle of a pull; docs/OPERATING.md says what came of it.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.fault_table import (
    DOCUMENT,
    ENDINGS,
    FAULTS,
    Fault,
    format_table,
    play,
    read_table,
)

pytestmark = [pytest.mark.fault, pytest.mark.journey]

# The others take minutes together: `make faults` makes them all, and writes the table anew.
OFTEN = {"https does not open", "its loop hangs", "its disk is gone"}
CHOSEN = [each for each in FAULTS if each.label in OFTEN or "EVERY_FAULT" in os.environ]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.label)
async def test_a_fault_does_what_the_document_says(fault: Fault, tmp_path: Path) -> None:
    outcome = await play(fault, tmp_path)
    told = read_table(DOCUMENT.read_text("utf-8"))[fault.label]
    assert replace(outcome, under_way=told.under_way) == told
    # How a pull that was under way ends is a race of its retries with the repair: never worse.
    assert ENDINGS.index(outcome.under_way) <= ENDINGS.index(told.under_way)


def test_the_document_has_a_row_for_every_fault_and_no_other() -> None:
    told = read_table(DOCUMENT.read_text("utf-8"))
    assert list(told) == [fault.label for fault in FAULTS]
    assert format_table(told) in DOCUMENT.read_text("utf-8")
