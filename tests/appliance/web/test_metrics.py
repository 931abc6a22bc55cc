"""Metrics: what Prometheus reads, by its own parser, and that the papers say the same."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from appliance.web.metrics import GAUGES, METRICS, PREFIX, SECONDS_NAME, format_catalogue
from tests.appliance.web.conftest import Door, request
from tests.appliance.web.test_views import LAYER, pull

DOCS = Path(__file__).parents[3] / "docs"
CONVENTION = re.compile(r"ollama_appliance_[a-z]+(_[a-z]+)*")


async def read(door: Door) -> dict[str, Family]:
    answer = await door.ask("/metrics")
    assert answer.fields["Content-Type"].startswith("text/plain; version=")
    return {each.name: each for each in text_string_to_metric_families(answer.body.decode())}


def value(families: dict[str, Family], name: str, **labels: str) -> float:
    family = families[PREFIX + name]
    (found,) = (each for each in family.samples if labels.items() <= each.labels.items())
    return float(found.value)


async def test_every_row_of_the_table_is_told_and_nothing_else_of_ours(door: Door) -> None:
    told = {name for name in await read(door) if name.startswith(PREFIX)}
    rows = {PREFIX + each.name for each in METRICS}
    assert told == {*rows, SECONDS_NAME}


async def test_there_are_many_and_the_process_is_among_them(door: Door) -> None:
    families = await read(door)
    assert sum(len(each.samples) for each in families.values()) >= 50
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6


async def test_a_pull_is_counted(door: Door) -> None:
    await pull(door, "tiny")
    async with door.dial() as wire:  # One connection: asked again once the first is counted.
        assert (await wire.ask(request(door.shop.grant("tiny", LAYER)))).body == LAYER
        told = (await wire.ask(request("/metrics"))).body.decode()
    families = {each.name: each for each in text_string_to_metric_families(told)}
    assert value(families, "served_bytes") == len(LAYER)
    assert value(families, "blob_bodies_served", result="hit") == 1
    assert value(families, "models_complete") == 1
    assert value(families, "blob_size_bytes") == len(LAYER)
    assert value(families, "status", status="healthy") == 1
    assert value(families, "status", status="unhealthy") == 0
    assert value(families, "check_ok", check="dns") == 1


async def test_requests_are_told_by_door_kind_and_status_with_their_times(door: Door) -> None:
    door.desk.meters.requests["https", "manifests", "200"] += 3
    door.desk.meters.seconds["https"].observe(0.003)
    families = await read(door)
    assert value(families, "requests", door="https", kind="manifests", status="200") == 3
    samples = families[SECONDS_NAME].samples
    buckets = {
        each.labels["le"]: each.value
        for each in samples
        if each.name.endswith("_bucket") and each.labels["door"] == "https"
    }
    assert (buckets["0.0025"], buckets["0.005"], buckets["+Inf"]) == (0, 1, 1)


async def test_who_asks_for_openmetrics_gets_it(door: Door) -> None:
    answer = await door.ask("/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert answer.fields["Content-Type"].startswith("application/openmetrics-text")
    families = {each.name for each in parse_openmetrics(answer.body.decode())}  # type: ignore[no-untyped-call]
    assert {PREFIX + each.name for each in METRICS} <= families


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: str(each.name))
def test_names_follow_the_convention(metric: object) -> None:
    name = metric.full_name  # type: ignore[attr-defined]
    assert CONVENTION.fullmatch(name)
    assert not re.search(r"_(mb|ms|minutes|percent)\b", name)


def test_the_catalogue_is_the_table() -> None:
    """Else: python -m appliance.web.metrics > docs/METRICS.md."""
    assert (DOCS / "METRICS.md").read_text("utf-8") == format_catalogue()


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    board = json.loads((DOCS / "grafana.json").read_text("utf-8"))
    asked = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    names = {each.full_name for each in METRICS} | {f"{SECONDS_NAME}_bucket"}
    ours = set(re.findall(rf"{PREFIX}\w+", asked))
    assert len(ours) >= 15
    assert ours <= names


def test_every_gauge_of_the_roof_is_in_the_table() -> None:
    assert set(GAUGES) <= {each.name for each in METRICS}
