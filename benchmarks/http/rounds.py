"""A run: in every round each group of cases, and in a group the peers take turns.

One server runs at a time, on its core; wrk, the database and this process have the
other. The order of the peers is rotated from group to group.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from benchmarks.http.answers import WrongAnswerError, check
from benchmarks.http.cases import CASES, Case
from benchmarks.http.peers import PEERS, POOL, WAITING_POOL, Peer
from benchmarks.http.server import Server, Watch
from benchmarks.http.wrk import Load, load

if TYPE_CHECKING:
    from benchmarks.database import Inspector


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and the cores of the servers and of all else."""

    peers: list[str]
    cases: list[str]
    rounds: int
    seconds: int
    server_core: int | None
    other_core: int | None

    def groups(self) -> list[list[Case]]:
        cases = [CASES[name] for name in self.cases]
        names = dict.fromkeys(case.group for case in cases)
        return [[case for case in cases if case.group == name] for name in names]


@dataclass(frozen=True, slots=True)
class Sample:
    """One case by one peer in one round; CPU is in microseconds per request."""

    peer: str
    case: str
    round: int
    load: Load
    cpu_us: float
    memory_mib: float
    threads: int
    connections: int
    others: float


@dataclass(slots=True)
class Outcome:
    samples: list[Sample] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def run(plan: Plan, inspector: Inspector) -> Outcome:
    outcome = Outcome()
    peers = [PEERS[name] for name in plan.peers]
    for number in range(plan.rounds):
        for turn, group in enumerate(plan.groups()):
            first = (turn + number) % len(peers)
            for peer in peers[first:] + peers[:first]:
                measure_group(plan, number, peer, group, inspector, outcome)
    print(file=sys.stderr)
    outcome.versions = {peer.name: versions(peer) for peer in peers}
    return outcome


def measure_group(
    plan: Plan,
    number: int,
    peer: Peer,
    group: list[Case],
    inspector: Inspector,
    outcome: Outcome,
) -> None:
    cases = [case for case in group if case.name not in peer.lacks]
    if not cases:
        return
    pool = WAITING_POOL if group[0].group == "wait" else POOL
    server = Server(peer, inspector, plan.server_core, pool)
    try:
        server.wait()
        for case in cases:
            progress(plan, number, peer, case)
            check(server, case, inspector)
            sample = measure(plan, number, server, case)
            outcome.samples.append(sample)
    except (RuntimeError, OSError, ValueError, WrongAnswerError) as error:
        outcome.failures.append(f"{peer.name}: {error}\n{server.said()}")
    finally:
        server.end()


def measure(plan: Plan, number: int, server: Server, case: Case) -> Sample:
    """Load for a second that does not count, then for those that do."""
    load(case, server.port, 1, plan.other_core)
    seen, done = Watch(), threading.Event()
    watcher = threading.Thread(target=server.watch, args=(seen, done))
    watcher.start()
    before = server.cpu()
    try:
        result = load(case, server.port, plan.seconds, plan.other_core)
        used = server.cpu() - before
    finally:
        done.set()
        watcher.join()
    return Sample(
        peer=server.peer.name,
        case=case.name,
        round=number,
        load=result,
        cpu_us=used * 1e6 / max(1, result.requests),
        memory_mib=server.memory(),
        **dataclasses.asdict(seen),
    )


def versions(peer: Peer) -> dict[str, str]:
    found = {}
    for package in peer.packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "checkout"
    return found


def progress(plan: Plan, number: int, peer: Peer, case: Case) -> None:
    text = f"round {number + 1} of {plan.rounds}: {case.name}, {peer.name}"
    print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)
