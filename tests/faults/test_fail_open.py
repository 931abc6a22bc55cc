"""A box that breaks costs speed, and never a pull longer than its DNS takes to notice.

Each fault is made on a real box in the middle of a pull; docs/OPERATING.md says what came of it.
"""

from pathlib import Path

import pytest

from tests.faults.fault_table import DOCUMENT, FAULTS, Fault, format_table, play, read_table
from tests.programs import is_ci

pytestmark = [pytest.mark.fault, pytest.mark.journey]


# The others take minutes together: CI makes them, and whoever regenerates the table.
OFTEN = {"https does not open", "its loop hangs", "its disk is gone"}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.label)
async def test_a_fault_does_what_the_document_says(fault: Fault, tmp_path: Path) -> None:
    if fault.label not in OFTEN and not is_ci():
        pytest.skip("made where CI is set, and by python -m tests.faults.fault_table")
    outcome = await play(fault, tmp_path)
    assert outcome == read_table(DOCUMENT.read_text("utf-8"))[fault.label]


def test_the_document_has_a_row_for_every_fault_and_no_other() -> None:
    told = read_table(DOCUMENT.read_text("utf-8"))
    assert list(told) == [fault.label for fault in FAULTS]
    assert format_table(told) in DOCUMENT.read_text("utf-8")
