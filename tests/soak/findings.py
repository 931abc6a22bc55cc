"""What a soak came to: every promise with what was seen of it, for people and as JSON."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.soak.books import Balance, Fetched
from tests.soak.catalogue import FASHION_SECONDS, MODELS_COUNT
from tests.soak.fleet import Outcomes
from tests.soak.gauges import Flatness

MB = 1_000_000
TURNOVER_SECONDS = MODELS_COUNT * FASHION_SECONDS  # Until every model was in fashion.


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything seen; `verdicts` says which promises were kept."""

    seed: int
    seconds: float
    outcomes: Outcomes
    spells: Counter[str]
    flipped: frozenset[str]  # Models of which a blob was sent wrong.
    kills: int
    recovery: tuple[str, ...]
    deeds: Counter[str]
    refusals: Counter[str]
    puzzles: tuple[str, ...]
    evictions: int
    problems: tuple[str, ...]
    fetched: Fetched
    balance: Balance
    box_memory: Flatness
    dns_memory: Flatness
    descriptors_before: tuple[int, int]  # Of the box and of its DNS.
    descriptors_after: tuple[int, int]
    descriptors_left: tuple[str, ...]  # Kinds of which there are more than before.

    def verdicts(self) -> dict[str, bool]:
        """Each promise, and whether it was kept."""
        outcomes = self.outcomes
        return {
            "every pull that ended well has the right sha256": not outcomes.wrong,
            "clients met wrong bytes only where the origin sent some": (
                set(outcomes.mismatched) <= self.flipped
            ),
            "after the storm everybody pulls": not outcomes.stranded,
            "verify finds nothing wrong": not self.problems,
            "the box answered every deed": not self.puzzles,
            "no error and no traceback in its log": not self.fetched.faults,
            "the quota made it evict": self.evictions > 0 or self.seconds < TURNOVER_SECONDS,
            "memory is flat": self.box_memory.is_flat and self.dns_memory.is_flat,
            "descriptors return to the idle number": all(
                after <= before
                for before, after in zip(
                    self.descriptors_before, self.descriptors_after, strict=True
                )
            ),
            "upstream bytes are within 1.05 of what had to be fetched": self.balance.is_balanced,
        }

    @property
    def is_kept(self) -> bool:
        """Whether all promises were."""
        return all(self.verdicts().values())

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        outcomes, balance = self.outcomes, self.balance
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "kept": self.is_kept,
            "verdicts": self.verdicts(),
            "pulls": dict(outcomes.counts),
            "pulls_well": dict(outcomes.by_generation),
            "reasons": dict(outcomes.reasons.most_common()),
            "wrong": outcomes.wrong,
            "mismatched": dict(outcomes.mismatched),
            "mismatches": outcomes.mismatches,
            "outwaited": outcomes.outwaited,
            "longest_silence": list(outcomes.longest_silence),
            "stranded": outcomes.stranded,
            "received_bytes": outcomes.received_bytes,
            "spells": dict(self.spells),
            "kills": self.kills,
            "recovery": list(self.recovery),
            "deeds": dict(self.deeds),
            "refusals": dict(self.refusals),
            "puzzles": list(self.puzzles),
            "evictions": self.evictions,
            "problems": list(self.problems),
            "fills": self.fetched.filled_count,
            "fills_wrong": self.fetched.wrong_count,
            "fills_ended": dict(self.fetched.ended),
            "streamed_past_the_store": self.fetched.past_store_count,
            "faults": self.fetched.faults,
            "upstream": {
                "fetched_bytes": balance.fetched,
                "needed_bytes": balance.needed,
                "killed_bytes": balance.killed,
                "cut_bytes": balance.cut,
                "past_store_bytes": balance.past_store,
                "allowed_bytes": balance.allowed,
            },
            "memory": {
                who: {
                    "middle_bytes": flatness.middle_bytes,
                    "last_bytes": flatness.last_bytes,
                    "peak_bytes": flatness.peak_bytes,
                    "seconds": round(flatness.seconds, 1),
                }
                for who, flatness in (("box", self.box_memory), ("dns", self.dns_memory))
            },
            "descriptors": {
                "before": list(self.descriptors_before),
                "after": list(self.descriptors_after),
                "left": list(self.descriptors_left),
            },
        }


def format_findings(findings: Findings) -> str:
    """A page for people."""
    outcomes, balance = findings.outcomes, findings.balance
    box, dns = findings.box_memory, findings.dns_memory
    lines = [
        f"seed {findings.seed}, {findings.seconds:.0f} s",
        f"pulls: {_list(outcomes.counts)}; {outcomes.received_bytes / MB:.0f} MB came to clients",
        f"longest silence of a pull that ended well: {outcomes.longest_silence[0]:.1f} s "
        f"({outcomes.longest_silence[1]}); out of patience: {len(outcomes.outwaited)}",
        f"weather: {_list(findings.spells)}",
        f"box: killed {findings.kills} times, mended {len(findings.recovery)} things at starts, "
        f"evicted {findings.evictions} models",
        f"operator: {_list(findings.deeds)}; refused: {_list(findings.refusals)}",
        f"fills: {findings.fetched.filled_count} well, {findings.fetched.wrong_count} wrong; "
        f"{findings.fetched.past_store_count} bodies past the store",
        f"upstream: {balance.fetched / MB:.1f} MB fetched, {balance.needed / MB:.1f} needed, "
        f"ratio {balance.fetched / max(1, balance.needed):.3f}; "
        f"allowed {balance.allowed / MB:.1f}, of it "
        f"{balance.killed / MB:.1f} for kills, {balance.cut / MB:.1f} for cut bodies, "
        f"{balance.past_store / MB:.1f} past the store",
        f"memory: box {box.middle_bytes / MB:.0f} MB, then {box.last_bytes / MB:.0f} "
        f"(peak {box.peak_bytes / MB:.0f}, last life {box.seconds:.0f} s); "
        f"DNS {dns.middle_bytes / MB:.0f}, then {dns.last_bytes / MB:.0f}",
        f"descriptors at rest, box and DNS: {findings.descriptors_before} before, "
        f"{findings.descriptors_after} after",
        "",
    ]
    lines += [
        f"{'ok  ' if is_so else 'FAIL'} {what}" for what, is_so in findings.verdicts().items()
    ]
    details = [
        *outcomes.wrong,
        *(f"mismatched: {each}" for each in outcomes.mismatches),
        *(f"out of patience: {each}" for each in outcomes.outwaited),
        *(f"stranded: {each}" for each in outcomes.stranded),
        *(f"descriptor: {each}" for each in findings.descriptors_left),
        *findings.problems,
        *findings.puzzles,
        *findings.fetched.faults,
    ]
    return "\n".join([*lines, *(f"     {each}" for each in details)])


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"
