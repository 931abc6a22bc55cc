"""`/metrics`: everything the box counts, for Prometheus. The table below is all there is.

Names follow Prometheus' conventions: base units, `_total` on what only grows. Counters start at
zero with the box; what it did ever is in `/cache/stats`. docs/METRICS.md is this table:
`python -m appliance.web.metrics` prints it.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from appliance.cache.tally import Count
from appliance.policy.health import Check, Status, judge_health
from appliance.registry.meters import Meters
from appliance.store.models import ModelRow
from appliance.store.store import StoreStats
from appliance.web.facts import Facts

PREFIX = "ollama_appliance_"


@dataclass(frozen=True, slots=True)
class Reading:
    """The box at one moment: what the store, the tally, the checks and the meters say."""

    facts: Facts
    stats: StoreStats
    models: list[ModelRow]
    counts: Mapping[str, int]
    checks: Mapping[str, Check]
    gauges: Mapping[str, float]
    meters: Meters
    fills: tuple[tuple[int, int], ...]  # Of each fill: bytes held, bytes in all.


type Samples = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. Counters' names go without `_total`, which is added."""

    name: str
    doc: str
    read: Callable[[Reading], Samples]
    labels: tuple[str, ...] = ()
    is_counter: bool = False

    @property
    def full_name(self) -> str:
        return f"{PREFIX}{self.name}{'_total' if self.is_counter else ''}"


def _one(read: Callable[[Reading], float]) -> Callable[[Reading], Samples]:
    return lambda now: [((), read(now))]


def _counter(name: str, doc: str, count: Count) -> Metric:
    return Metric(name, doc, _one(lambda now: now.counts.get(count.value, 0)), is_counter=True)


def _gauge(name: str, doc: str, read: Callable[[Reading], float]) -> Metric:
    return Metric(name, doc, _one(read))


def _of_roof(name: str, doc: str) -> Metric:
    read = _one(lambda now: now.gauges[name])
    return Metric(name, doc, read, is_counter=name in GROWING)


def _by_result(*counts: tuple[str, Count]) -> Callable[[Reading], Samples]:
    return lambda now: [((result,), now.counts.get(count.value, 0)) for result, count in counts]


_MANIFEST_RESULTS = _by_result(
    ("hit", Count.MANIFEST_HITS),
    ("revalidated", Count.MANIFEST_REVALIDATIONS),
    ("miss", Count.MANIFEST_MISSES),
    ("stale", Count.MANIFEST_STALE),
)
_BLOB_RESULTS = _by_result(
    ("hit", Count.BLOB_HITS),
    ("miss", Count.BLOB_MISSES),
    ("uncached", Count.UNCACHED),
    ("deferred", Count.DEFERRED),
)

# What the roof adds; name → what it is. A test holds the roof to it.
GAUGES: Mapping[str, str] = {
    "connections": "Connections of clients that are open now, all doors together.",
    "connections_max": "How many there may be.",
    "connections_refused": "Connections closed unread since the start, for there were too many.",
    "bodies": "Blob bodies that the pump threads are sending now.",
    "ca_not_after_timestamp_seconds": "When the CA ends.",
    "leaf_not_after_timestamp_seconds": "When the certificate of the moment ends.",
    "dns_leads_here": "1 while DNS leads clients to this box, 0 while it has failed open.",
    "origin_reached": "1 where the last request to the origin was answered.",
}

GROWING = frozenset({"connections_refused"})  # Of those, what is a counter.

METRICS: tuple[Metric, ...] = (
    Metric("info", "The box; always 1.", lambda now: [((now.facts.version,), 1)], ("version",)),
    _gauge("start_timestamp_seconds", "When it was started.", lambda now: now.facts.started_at),
    Metric(
        "status",
        "1 for what it is now: healthy, degraded or unhealthy.",
        lambda now: [((each.value,), float(judge_health(now.checks) is each)) for each in Status],
        ("status",),
    ),
    Metric(
        "check_ok",
        "Each check's last result, 1 or 0.",
        lambda now: [((name,), float(each.is_ok)) for name, each in now.checks.items()],
        ("check",),
    ),
    Metric(
        "manifests_served",
        "Manifests answered, by how they came about.",
        _MANIFEST_RESULTS,
        ("result",),
        is_counter=True,
    ),
    Metric(
        "blob_bodies_served",
        "Bodies of blobs asked for, by where they came from; deferred ones by the origin's URL.",
        _BLOB_RESULTS,
        ("result",),
        is_counter=True,
    ),
    _counter("served_bytes", "Blob bytes sent to clients.", Count.SERVED_BYTES),
    _counter("fetched_bytes", "Blob bytes fetched from the origin.", Count.FETCHED_BYTES),
    _counter("unasked_bytes", "Of those, what no client waited for.", Count.UNASKED_BYTES),
    _counter("fills", "Blobs that were completed.", Count.FILLS),
    _counter("mismatches", "Blobs whose bytes were not their digest's.", Count.MISMATCHES),
    _counter("evictions", "Manifests let go of for lack of space.", Count.EVICTIONS),
    _counter("evicted_bytes", "What that freed.", Count.EVICTED_BYTES),
    Metric(
        "requests",
        "Requests to the registry, by the door they came by, what for, and the answer's status; "
        "`passed` went on to the origin.",
        lambda now: [(key, number) for key, number in now.meters.requests.items()],
        ("door", "kind", "status"),
        is_counter=True,
    ),
    _gauge("fills_running", "Blobs being fetched now.", lambda now: len(now.fills)),
    _gauge(
        "filling_held_bytes", "What is here of those.", lambda now: sum(h for h, _ in now.fills)
    ),
    _gauge("filling_size_bytes", "What they are in all.", lambda now: sum(s for _, s in now.fills)),
    _gauge("blobs", "Complete blobs.", lambda now: now.stats.blob_count),
    _gauge("blob_size_bytes", "What they take.", lambda now: now.stats.blob_size_bytes),
    _gauge("manifests", "Stored manifests.", lambda now: now.stats.manifest_count),
    _gauge("pending_blobs", "Blobs that are not complete.", lambda now: now.stats.pending_count),
    _gauge("pending_held_bytes", "What they take.", lambda now: now.stats.pending_held_bytes),
    _gauge("reserved_bytes", "What they will take more.", lambda now: now.stats.reserved_bytes),
    _gauge(
        "quarantined_blobs",
        "Blobs set aside, for their bytes are wrong.",
        lambda now: now.stats.quarantined_count,
    ),
    _gauge("disk_free_bytes", "Free on the file system.", lambda now: now.stats.free_bytes),
    _gauge(
        "disk_min_free_bytes",
        "What the box leaves free of it (`cache.min_free`).",
        lambda now: now.facts.cache.janitor.budget().min_free_bytes,
    ),
    _gauge(
        "max_size_bytes",
        "What all blobs may take (`cache.max_size`).",
        lambda now: now.facts.cache.janitor.budget().max_size_bytes,
    ),
    _gauge("models", "Models, each tag one.", lambda now: len(now.models)),
    _gauge(
        "models_complete",
        "Those that are wholly here.",
        lambda now: sum(row.is_complete for row in now.models),
    ),
    _gauge(
        "models_pinned",
        "Those that are never let go of.",
        lambda now: sum(row.is_pinned for row in now.models),
    ),
    _gauge(
        "models_size_bytes",
        "Their sizes added up, shared blobs counted each time.",
        lambda now: sum(row.total_size_bytes for row in now.models),
    ),
    *(_of_roof(name, doc) for name, doc in GAUGES.items()),
)
SECONDS_NAME = f"{PREFIX}request_duration_seconds"
SECONDS_DOC = "Seconds until an answer began, by door."


class _BoxCollector(Collector):
    def __init__(self, now: Reading) -> None:
        self._now = now

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            family = kind(f"{PREFIX}{metric.name}", metric.doc, labels=metric.labels)
            for labels, value in metric.read(self._now):
                family.add_metric(labels, value)
            yield family
        yield _collect_seconds(self._now.meters)


def _collect_seconds(meters: Meters) -> Family:
    family = HistogramMetricFamily(SECONDS_NAME, SECONDS_DOC, labels=("door",))
    for door, histogram in meters.seconds.items():
        family.add_metric((door,), histogram.cumulated(), histogram.sum_seconds)
    return family


class Metrics:
    """The handler. `gauges` are those of GAUGES, read anew each time."""

    def __init__(
        self, facts: Facts, meters: Meters, gauges: Callable[[], Mapping[str, float]]
    ) -> None:
        self._facts = facts
        self._meters = meters
        self._gauges = gauges

    async def show(self, request: web.Request) -> web.Response:
        """Prometheus' text, or OpenMetrics to who asks for that."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        fills = tuple(
            (fill.pending.held.size_bytes, fill.pending.size_bytes)
            for fill in self._facts.cache.fills
        )
        registry = await asyncio.to_thread(self._collect, fills)
        body = await asyncio.to_thread(encode, registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _collect(self, fills: tuple[tuple[int, int], ...]) -> CollectorRegistry:
        books = self._facts.cache.books
        registry = CollectorRegistry()
        reading = Reading(
            facts=self._facts,
            stats=books.stats(),
            models=books.models(),
            counts=dict(books.tally.since_start),
            checks=self._facts.checks(),
            gauges=self._gauges(),
            meters=self._meters,
            fills=fills,
        )
        registry.register(_BoxCollector(reading))
        for each in (ProcessCollector, PlatformCollector, GCCollector):
            each(registry=registry)
        return registry


def format_catalogue() -> str:
    """docs/METRICS.md."""
    rows = [
        (each.full_name, "counter" if each.is_counter else "gauge", each.labels, each.doc)
        for each in METRICS
    ]
    rows.append((SECONDS_NAME, "histogram", ("door",), SECONDS_DOC))
    lines = [
        "# Metrics",
        "",
        "What `http://BOX/metrics` tells Prometheus, beside the usual ones of a Python process "
        "(`process_*`, `python_*`). This table is",
        "printed by `python -m appliance.web.metrics`. A dashboard of it is docs/grafana.json.",
        "",
        "| name | kind | labels | what |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{name}` | {kind} | {', '.join(f'`{each}`' for each in labels)} | {doc} |"
            for name, kind, labels, doc in rows
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(format_catalogue())
