"""The report: exactly the promised shape, and every broken promise by name."""

from dataclasses import replace

import pytest

from appliance.demo.report import Cold, Direct, Report, Warm, format_size

GOOD = Report(1000, Cold(2, 2.0, 1010, 0.25, 1.5), Warm(0.5, 0), sha256_ok=True)


def test_the_document_has_the_promised_shape() -> None:
    assert GOOD.document() == {
        "blob_bytes": 1000,
        "cold": {
            "clients": 2,
            "seconds": 2.0,
            "upstream_bytes": 1010,
            "longest_silence_seconds": 0.25,
        },
        "warm": {"seconds": 0.5, "upstream_bytes": 0},
        "sha256_ok": True,
    }


def test_a_direct_pull_adds_itself_and_the_ratio_to_the_document() -> None:
    document = replace(GOOD, direct=Direct(1.6, 0.125)).document()
    assert document.pop("direct") == {"seconds": 1.6, "longest_silence_seconds": 0.125}
    assert document["cold"].pop("ratio") == 1.25
    assert document == GOOD.document()


def test_people_read_how_cold_compares_with_direct() -> None:
    compared = replace(GOOD, direct=Direct(1.6, 0.125))
    text = "\n".join(compared.lines())
    assert "direct    1 client without the box, 1.6 s, 625 bytes/s" in text
    assert "first client done in 0.94, last in 1.25 times the direct pull" in text
    assert text.count("longest silence of any part") == 2
    alone = "\n".join(replace(compared, cold=replace(GOOD.cold, clients=1)).lines())
    assert "          1.25 times the direct pull" in alone
    assert "direct" not in "\n".join(GOOD.lines())


def test_what_was_compared_is_not_called_hashed() -> None:
    compared = replace(GOOD, keeps=False)
    assert "every byte of every client is right, compared" in "\n".join(compared.lines())
    assert compared.document() == GOOD.document()


def test_at_most_one_percent_more_than_the_model_is_well() -> None:
    assert GOOD.failures() == []


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (replace(GOOD, sha256_ok=False), "a client got bytes that are not the model's"),
        (
            replace(GOOD, warm=Warm(0.5, 1)),
            "the warm pull took 1 bytes from the Internet instead of nothing",
        ),
        (
            replace(GOOD, cold=Cold(2, 2.0, 1011, 0.25, 1.5)),
            "the cold pulls took 1.011 times the model from the Internet: at most 1.01",
        ),
    ],
)
def test_a_broken_promise_is_named(report: Report, sentence: str) -> None:
    assert report.failures() == [sentence]


def test_people_read_what_was_saved() -> None:
    text = "\n".join(GOOD.lines())
    assert "2 clients at once, 2.0 s" in text
    assert "saved     1.9 KiB" in text
    assert "longest silence of any part: 0.25 s" in text
    assert "WRONG" not in text
    assert "WRONG" in "\n".join(replace(GOOD, sha256_ok=False).lines())


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (2**31, "2.0 GiB"),
        (2**52, "4096.0 TiB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert format_size(size) == text
