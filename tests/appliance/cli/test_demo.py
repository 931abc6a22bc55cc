"""`demo`: one JSON object and nothing else, or a report for people; nothing left behind."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli.demo import add_parser, choose_rate, conclude, parse_clients, parse_size
from appliance.demo.report import Cold, Report, Warm

REPORT = Report(1000, Cold(2, 2.0, 1000, 0.25, 1.5), Warm(0.5, 0), sha256_ok=True)
HOUSE = Path(__file__).parents[3]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["demo", *words])


def test_the_defaults_are_a_model_of_2_gib_and_two_clients() -> None:
    args = parse()
    assert (args.size, choose_rate(args), args.clients, args.json) == (2**31, 10**8, 2, False)
    assert choose_rate(parse("--page")) == 12_000_000
    assert choose_rate(parse("--page", "--rate", "0")) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2**31),
        ("100MB", 10**8),
        ("1.5 KiB", 1536),
        ("77", 77),
        ("12.5MB/s", 12_500_000),
        ("0", 0),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "5%", "1 furlong", "\u0661"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "65", "two", "-1", ""])
def test_no_number_of_clients(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_clients(text)


def test_a_good_report_is_exit_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(REPORT, as_json=False) == 0
    assert "every blob of every client is right" in capsys.readouterr().out


def test_a_bad_one_is_1_and_says_which_promise(capsys: pytest.CaptureFixture[str]) -> None:
    bad = Report(1000, Cold(2, 2.0, 2000, 0.25, 1.5), Warm(0.5, 7), sha256_ok=False)
    assert conclude(bad, as_json=True) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["warm"]["upstream_bytes"] == 7
    assert shown.err.count("FAILED: ") == 3


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A box's control socket lies below it, and the system takes about a hundred characters."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def play(directory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "appliance", "demo", *words]
    environment = os.environ | {"TMPDIR": str(directory), "PYTHONPATH": str(HOUSE)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.journey
def test_json_is_one_object_and_the_directory_is_removed(short_path: Path) -> None:
    played = play(short_path, "--json", "--size", "2MiB", "--rate", "20MB", "--clients", "2")
    assert played.returncode == 0, played.stderr
    document = json.loads(played.stdout)
    assert document["blob_bytes"] == document["cold"]["upstream_bytes"] >= 2**21
    assert document["warm"]["upstream_bytes"] == 0
    assert document["sha256_ok"] is True
    assert set(document) == {"blob_bytes", "cold", "warm", "sha256_ok"}
    assert "ratio" not in document["cold"]
    assert not list(short_path.iterdir())


@pytest.mark.journey
def test_json_has_the_direct_pull_when_asked(short_path: Path) -> None:
    played = play(short_path, "--json", "--direct", "--size", "1MiB", "--clients", "1")
    assert played.returncode == 0, played.stderr
    document = json.loads(played.stdout)
    assert document["cold"]["upstream_bytes"] == document["blob_bytes"]
    assert document["cold"]["ratio"] * document["direct"]["seconds"] == pytest.approx(
        document["cold"]["seconds"]
    )


def test_a_model_larger_than_the_disk_is_refused_with_a_hint(short_path: Path) -> None:
    played = play(short_path, "--size", "999999TiB")
    assert played.returncode == 1
    assert "the demo needs" in played.stderr
    assert "--size" in played.stderr
    assert not list(short_path.iterdir())
