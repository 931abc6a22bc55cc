"""Real addresses, real DNS, kernels of their own: pulls on every network, as docs/CLIENTS.md says.

None ends worse than without a box, but for those that the document names.
"""

import json
import re
from pathlib import Path

import pytest

from tests.journeys.client_table import DOCUMENT
from tests.journeys.network_table import (
    NEWER,
    ROWS,
    Coming,
    format_table,
    play_network,
    read_table,
)
from tests.journeys.networks import Shape, open_network

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]


# The announcer listens for other routers before it speaks, and one pull fails at its own pace.
SHAPES = [
    pytest.param(each, marks=pytest.mark.slow) if each is Shape.ANNOUNCED else each
    for each in Shape
]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pull_on_a_network_comes_to_what_the_document_says(
    tmp_path: Path, shape: Shape
) -> None:
    written = read_table(DOCUMENT.read_text("utf-8"))[shape]
    with open_network(shape, tmp_path) as network:
        assert play_network(network, tmp_path) == written
        if shape is Shape.PRIVATE:
            assert written[NEWER.label, Coming.DNS] == "uncached"
            assert_it_says_why(network.read("/"), network.read("/health"))


def assert_it_says_why(page: str, health: str) -> None:
    """The page counts what went past the box, says why, and has lines for this very network."""
    words = " ".join(page.split())
    assert re.search(r"\b[1-9][0-9]* blobs were fetched by clients from the Internet", words)
    assert "refuses blobs from private addresses after https" in words
    assert "ip route add 203.0.113.10/32 via 10.9.9.9" in words
    check = json.loads(health)["checks"]["blobs"]
    assert check["detail"].startswith("after https Ollama 0.35.2 and newer can fetch no blob here")


def test_the_document_has_a_row_for_each_machine_and_a_column_for_each_network() -> None:
    document = DOCUMENT.read_text("utf-8")
    columns = read_table(document)
    assert list(columns) == list(Shape)
    assert format_table(columns) in document
    assert all(tuple(column) == ROWS for column in columns.values())


def test_what_fails_has_its_reason_in_the_document() -> None:
    document = DOCUMENT.read_text("utf-8")
    _, _, reasons = document.partition("Why a pull fails there first:")
    given = re.findall(r"^- (.+?): ", reasons.partition("\n## ")[0], re.MULTILINE)
    failing = {
        str(how)
        for column in read_table(document).values()
        for (_, how), outcome in column.items()
        if outcome.startswith("fails")
    }
    assert set(given) == failing
