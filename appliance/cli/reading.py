"""How words of the command line are read, where several verbs take them."""

import argparse

from appliance.policy.addresses import parse_address


def read_address(text: str) -> str:
    """An IP address, without a scope. Raises ArgumentTypeError, as argparse wants it."""
    try:
        return str(parse_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no address") from error


def read_count(text: str) -> int:
    """A number of things, zero or more. Raises ArgumentTypeError, as argparse wants it."""
    if not (text.isascii() and text.isdecimal() and len(text) < COUNT_DIGITS_MAX):
        raise argparse.ArgumentTypeError(f"{text} is no number of lines")
    return int(text)


COUNT_DIGITS_MAX = 10  # Billions; more is a slip, and `int` would refuse thousands of digits.


def read_port(text: str) -> int:
    """A port that one can dial. Raises ArgumentTypeError, as argparse wants it."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return int(text)
