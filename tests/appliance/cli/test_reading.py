"""Words of the command line."""

import argparse

import pytest

from appliance.cli.reading import read_address, read_count, read_port


@pytest.mark.parametrize(
    ("text", "address"),
    [("192.0.2.7", "192.0.2.7"), ("2001:DB8::7", "2001:db8::7"), ("::ffff:10.0.0.1", "10.0.0.1")],
)
def test_an_address_is_read_however_it_is_spelt(text: str, address: str) -> None:
    assert read_address(text) == address


@pytest.mark.parametrize("text", ["", "registry.ollama.ai", "10.0.0", "10.0.0.1/24"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no address"):
        read_address(text)


def test_a_count_is_a_number_and_nothing_else() -> None:
    assert read_count("0") == 0
    assert read_count("5000") == 5000
    for text in ("", "-1", "1.5", "\u0661", "9" * 5000):
        with pytest.raises(argparse.ArgumentTypeError, match="is no number"):
            read_count(text)


def test_a_port_is_one_that_can_be_dialled() -> None:
    assert (read_port("1"), read_port("65535")) == (1, 65535)
    for text in ("", "0", "65536", "-1", "80a", "9" * 5000):
        with pytest.raises(argparse.ArgumentTypeError, match="is no port"):
            read_port(text)
