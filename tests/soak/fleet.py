"""Sixty machines that pull, lose patience, come back and pull again.

Each is a thread with an address of its own and one generation of Ollama that comes by one way. What
a pull brought is hashed here once more, from the client's own files, whatever the client says.

Fifty have timers that run faster, so that minutes hold what is else spread over hours; in each
generation one has them as they are, with the patience that goes with it.
"""

import hashlib
import random
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.demo.box import BoxProcess
from appliance.demo.client import Client
from appliance.demo.conversation import Identity, PullError
from appliance.demo.credentials import ClientKey
from appliance.demo.deposit import DigestMismatchError
from appliance.demo.habits import Surroundings
from appliance.demo.lifeline import InterruptedPullError
from appliance.demo.models import DemoModel
from appliance.demo.outside import CDN_NAME, Outside
from appliance.demo.urls import WireError
from tests.journeys.client_table import (
    BLOB_ADDRESS,
    CDN_ADDRESS,
    GENERATIONS,
    LOOPBACK,
    Generation,
    Way,
)
from tests.soak.catalogue import Fashion

HURRIED_COUNT = 50
MACHINES_COUNT = HURRIED_COUNT + len(GENERATIONS)
WAYS = (Way.DNS, Way.PLAIN, Way.PROXY, Way.DIRECT)
PART_BYTES = 1_000_000  # So that the largest models have sixteen parts and more.
PACE = 3  # Timers of the hurried clients; a spell of bad weather lasts seconds here, not minutes.
THINK_SECONDS = 12.0  # Between two pulls of one machine, on average.
IMPATIENT_SHARE = 0.25  # Of the pulls are given up in the middle,
IMPATIENT_SECONDS_MAX = 4.0  # within so long; all others once they take
PATIENCE_SECONDS = 40.0
FORGETFUL_SHARE = 0.3  # Of those who gave up want something else; the others resume.
CALM_SECONDS = 90.0  # In which everybody's last pull must end well: a mismatch bars one for 30.


@dataclass
class Outcomes:
    """What became of all pulls. Written by many threads under `lock`."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    by_generation: Counter[str] = field(default_factory=Counter)  # Those that ended well.
    wrong: list[str] = field(default_factory=list)  # Pulls that ended well with wrong bytes.
    mismatched: Counter[str] = field(default_factory=Counter)  # Models whose client found it so.
    mismatches: list[str] = field(default_factory=list)  # And when, by whom, in what.
    outwaited: list[str] = field(default_factory=list)  # Pulls that ran out of all patience.
    longest_silence: tuple[float, str] = (0.0, "")  # In seconds, of pulls that ended well; whose.
    stranded: list[str] = field(default_factory=list)  # Machines without their model in the calm.
    received_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Machine:
    """One client of the fleet."""

    def __init__(
        self, number: int, seed: int, directory: Path, around: Surroundings, web_port: int
    ) -> None:
        self.generation: Generation = GENERATIONS[number % len(GENERATIONS)]
        self.way = WAYS[number // len(GENERATIONS) % len(WAYS)]
        self.pace = PACE if number < HURRIED_COUNT else 1
        scale = "" if self.pace == PACE else ", true scale"
        self.kind = f"{self.generation.label}, {self.way}{scale}"
        self.name = f"machine {number} ({self.kind})"
        self.random = random.Random(f"{seed} machine {number}")
        self._home = directory / f"machine-{number}"
        self._web_port = web_port
        habits = replace(
            self.generation.habits,
            part_bytes_min=PART_BYTES,
            chunked_from_bytes=PART_BYTES,
            pace=self.pace,
        )
        around = replace(around, own_address=f"127.0.1.{number + 1}")
        self.client = Client(self._home, around, habits, Identity(ClientKey(), time.time))
        self.unfinished: DemoModel | None = None

    def pull(self, model: DemoModel, outcomes: Outcomes, give_up_seconds: float) -> bool:
        """Pull, and count what came of it; True where it ended well and is right."""
        alarm = threading.Timer(give_up_seconds, self.client.interrupt)
        alarm.start()
        try:
            result = self.client.pull(self._name(model), insecure=self._is_insecure)
        except (InterruptedPullError, PullError, WireError, OSError) as error:
            self.unfinished = model
            self._note_failure(model, error, outcomes)
            return False
        finally:
            alarm.cancel()
            alarm.join()
        is_right = result.manifest == model.digest and self._holds(model)
        with outcomes.lock:
            outcomes.counts["well"] += 1
            outcomes.by_generation[self.kind] += 1
            outcomes.received_bytes += result.received_bytes
            silence = max((each.longest_silence_seconds for each in result.blobs), default=0.0)
            at = time.strftime("%H:%M:%S", time.gmtime())
            outcomes.longest_silence = max(
                outcomes.longest_silence, (silence, f"{at} {self.name}, {model.repository}")
            )
            if not is_right:
                outcomes.wrong.append(f"{self.name}: {model.repository}")
        self.forget()
        return is_right

    def scaled(self, seconds: float) -> float:
        """What `seconds` of a hurried client are to this one."""
        return seconds * PACE / self.pace

    def forget(self) -> None:
        """Remove all that it holds, as `ollama rm` does."""
        self.unfinished = None
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def _is_insecure(self) -> bool:
        return self.way in (Way.PLAIN, Way.DIRECT)

    def _name(self, model: DemoModel) -> str:
        if self.way is not Way.DIRECT:
            return model.repository.model
        return f"{LOOPBACK}:{self._web_port}/{model.repository}"

    def _holds(self, model: DemoModel) -> bool:
        for blob in model.blobs:
            with self.client.blob_path(blob.digest).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != blob.digest.encoded:
                    return False
        return True

    def _note_failure(self, model: DemoModel, error: Exception, outcomes: Outcomes) -> None:
        with outcomes.lock:
            if isinstance(error, InterruptedPullError):
                outcomes.counts["given up"] += 1
            elif isinstance(error, DigestMismatchError):
                outcomes.counts["mismatched"] += 1
                outcomes.mismatched[str(model.repository)] += 1
                at = time.strftime("%H:%M:%S", time.gmtime())
                outcomes.mismatches.append(f"{at} {self.name}, {model.repository}: {error}")
            else:
                outcomes.counts["failed"] += 1
                outcomes.reasons[f"{self.way}: {str(error)[-120:]}"] += 1


class Fleet:
    """All machines, at work while the context is open."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        outside: Outside,
        box: BoxProcess,
        fashion: Fashion,
        count: int,
    ) -> None:
        self.outcomes = Outcomes()
        self._fashion = fashion
        self._began = time.monotonic()
        self._is_over = threading.Event()
        self.machines = [
            Machine(number, seed, directory, around, box.web_port)
            for number in range(count)
            for around in [_surroundings(number, directory, outside, box)]
        ]
        self._pool = ThreadPoolExecutor(count, "machine")

    def __enter__(self) -> Self:
        self._work = [self._pool.submit(self._live, each) for each in self.machines]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        for each in self.machines:
            each.client.interrupt()
        self._pool.shutdown()
        if error is None:
            for work in self._work:
                work.result()

    def calm_down(self) -> None:
        """End the lives, and have each machine pull one model more, which must end well. Blocks."""
        self._is_over.set()
        for work in self._work:
            work.result()
        self._work = [self._pool.submit(self._pull_at_last, each) for each in self.machines]
        for work in self._work:
            work.result()

    def _live(self, machine: Machine) -> None:
        rng = machine.random
        while not self._is_over.wait(rng.expovariate(1 / THINK_SECONDS)):
            model = machine.unfinished or self._choose(machine)
            is_impatient = rng.random() < IMPATIENT_SHARE
            patience = machine.scaled(PATIENCE_SECONDS)
            seconds = rng.uniform(0.02, IMPATIENT_SECONDS_MAX) if is_impatient else patience
            began = time.monotonic()
            is_well = machine.pull(model, self.outcomes, seconds)
            if not is_well and not is_impatient and time.monotonic() - began >= patience:
                self._note_outwaited(machine, model)
            if not is_well and rng.random() < FORGETFUL_SHARE:
                machine.forget()

    def _note_outwaited(self, machine: Machine, model: DemoModel) -> None:
        at = time.strftime("%H:%M:%S", time.gmtime())
        with self.outcomes.lock:
            self.outcomes.outwaited.append(f"{at} {machine.name}, {model.repository}")

    def _pull_at_last(self, machine: Machine) -> None:
        model = machine.unfinished or self._choose(machine)
        deadline = time.monotonic() + machine.scaled(CALM_SECONDS)
        while (left := deadline - time.monotonic()) > 0:
            if machine.pull(model, self.outcomes, left):
                return
            machine.client.interrupt()
            time.sleep(1.0)  # As a person does before the second try.
        with self.outcomes.lock:
            self.outcomes.stranded.append(f"{machine.name}: {model.repository}")

    def _choose(self, machine: Machine) -> DemoModel:
        seconds = time.monotonic() - self._began
        tensors = machine.generation.has_tensors
        return self._fashion.choose(seconds, machine.random, tensors=tensors)


def _surroundings(number: int, directory: Path, outside: Outside, box: BoxProcess) -> Surroundings:
    """The network of a machine as the way that it comes by takes it.

    The CDN looks public: whom the box sends there, once it has learnt to, must be able to go.
    """
    way = WAYS[number // len(GENERATIONS) % len(WAYS)]
    if way is Way.PROXY:
        around = replace(outside.surroundings, https_proxy=(LOOPBACK, box.proxy_port))
    else:
        around = box.surroundings
    trusted = directory / "trusted.pem"
    routes = {BLOB_ADDRESS: LOOPBACK, CDN_ADDRESS: outside.cdn.address}
    return replace(around, ca_file=trusted, routes=routes, hosts={CDN_NAME: CDN_ADDRESS})
