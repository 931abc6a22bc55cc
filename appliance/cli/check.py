"""`check`: everything that is wrong with the configuration at once, or everything that holds.

Exit status 0 and the effective configuration where the box would start with it; 1 and every
error, with its line, key and nearest known key, where it would not.
"""

import argparse
import json
import sys
from collections.abc import Iterable

from appliance.certs import (
    AUTHORITY_FOLDER,
    AuthorityError,
    AuthorityMissingError,
    AuthorityPrivateError,
    read_authority,
)
from appliance.config import Config, ConfigInvalidError, load_config, read_environment
from appliance.config.sources import Problem, Source, all_keys


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "check", help="check the configuration: all errors at once, else what holds and from where"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, errors included")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the configuration that `run` would use, and the CA against it."""
    try:
        config = load_config(args.config, read_environment())
    except ConfigInvalidError as error:
        return _refuse(error.problems, as_json=args.json)
    problems = tuple(_authority_problems(config))
    if problems:
        return _refuse(problems, as_json=args.json)
    if args.json:
        print(json.dumps(describe_config(config), indent=2))
    else:
        print("\n".join(_report(config)))
    return 0


def _authority_problems(config: Config) -> Iterable[Problem]:
    """Names outside an existing CA's constraints, or a CA that cannot be used at all."""
    directory = config.state_dir / AUTHORITY_FOLDER
    try:
        authority = read_authority(directory)
    except (AuthorityMissingError, AuthorityPrivateError):
        return  # None yet, or not ours to judge: the box's own user will.
    except AuthorityError as error:
        yield Problem(config.source("box", "state_dir"), "box.state_dir", f"{error}; {error.hint}")
        return
    for section, key, name in (
        ("origin", "name", config.origin.name),
        ("blobs", "host", config.blobs.host),
    ):
        if not authority.permits(name):
            what = (
                f"the CA in {directory} is not for {name}; go back to a name of its own "
                f"({', '.join(authority.names)}), or: mv {directory} {directory}.old"
            )
            yield Problem(config.source(section, key), f"{section}.{key}", what)


def _refuse(problems: tuple[Problem, ...], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"ok": False, "errors": list(map(_problem_document, problems))}, indent=2))
    else:
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
    return 1


def _value(config: Config, section: str, key: str) -> object:
    """As TOML would write it; the state directory as it comes out."""
    if (section, key) == ("box", "state_dir"):
        return str(config.state_dir)
    return config.raw(section, key)


def _report(config: Config) -> Iterable[str]:
    yield f"# {config.path or 'no configuration file: the defaults'}"
    section_before = ""
    for section, key in all_keys():
        if section != section_before:
            yield f"\n[{section}]"
            section_before = section
        # JSON's spelling of these values is TOML's too.
        setting = f"{key} = {json.dumps(_value(config, section, key), ensure_ascii=False)}"
        yield f"{setting:<44} # {config.source(section, key)}"
    if config.warnings:
        yield ""
    for warning in config.warnings:
        yield f"# warning: {warning}"


def describe_config(config: Config) -> dict[str, object]:
    """Every setting with where it came from, as JSON."""
    return {
        "ok": True,
        "file": str(config.path) if config.path else None,
        "settings": [
            {
                "section": section,
                "key": key,
                "value": _value(config, section, key),
                **_source_document(config.source(section, key)),
            }
            for section, key in all_keys()
        ],
        "warnings": list(map(_problem_document, config.warnings)),
    }


def _source_document(source: Source) -> dict[str, object]:
    return {"source": source.name, "line": source.line}


def _problem_document(problem: Problem) -> dict[str, object]:
    words = {"key": problem.key, "what": problem.what, "nearest": problem.nearest}
    return _source_document(problem.source) | words
