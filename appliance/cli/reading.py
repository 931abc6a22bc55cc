"""How words of the command line are read, where several verbs take them."""

import argparse

from appliance.policy.addresses import parse_address


def read_address(text: str) -> str:
    """An IP address, without a scope. Raises ArgumentTypeError, as argparse wants it."""
    try:
        return str(parse_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no address") from error
