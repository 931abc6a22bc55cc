"""`ollama-appliance completion`: what a shell needs to complete this command line."""

import argparse

import shtab

SHELLS = {
    "bash": "~/.local/share/bash-completion/completions/ollama-appliance",
    "zsh": "a directory of fpath, as _ollama-appliance",
    "fish": "~/.config/fish/completions/ollama-appliance.fish",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "completion",
        help="print what makes a shell complete these verbs and their options",
        epilog="Write it to "
        + "; ".join(f"{place} ({shell})" for shell, place in SHELLS.items())
        + ". Then open a new shell.",
    )
    parser.add_argument("shell", choices=list(SHELLS))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from appliance.cli import make_parser  # It knows all verbs, this one too.

    print(shtab.complete(make_parser(), shell=args.shell))
    return 0
