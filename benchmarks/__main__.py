"""The command line: what to measure, for how long, and where the results go."""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.caches import REDIS, TIMES, CacheReport
from benchmarks.cases import CACHE_CASES, CASES, DATABASE_CASES
from benchmarks.database import CACHE, Inspector, benchmark_database, fill
from benchmarks.detector.techniques import TECHNIQUES
from benchmarks.http.cases import CASES as HTTP_CASES
from benchmarks.http.peers import PEERS
from benchmarks.machine import processors
from benchmarks.modes import CACHE_MODES, MODES
from benchmarks.pairs import run_pairs
from benchmarks.protocol import Config
from benchmarks.report import Report
from benchmarks.rounds import Plan, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.pairs import Pairs


def main() -> None:
    options = parser().parse_args()
    with benchmark_database() as url:
        if options.http:
            from benchmarks.http.run import compare as compare_http

            compare_http(options, url)
            return
        if options.detector:
            from benchmarks.detector.run import compare as compare_detectors

            compare_detectors(options, url)
            return
        fill(url)
        if options.scale:
            from benchmarks.scale import show

            show(Config(url=url, pool=options.pool, loop=options.loop))
        elif options.profile:
            from benchmarks.profile import show_profile

            show_profile(plan(options, url))
        else:
            compare(plan(options, url), options)


def compare(chosen: Plan, options: argparse.Namespace) -> None:
    inspector = Inspector(chosen.config.url)
    before = os.getloadavg()[0]
    outcome = run(chosen, inspector)
    report = Report(chosen, outcome)
    if options.cache:
        report = CacheReport(chosen, outcome, beside_peers(chosen, inspector))
    facts = {
        "python": platform.python_version(),
        **(redis_version() if options.cache else postgresql_version(inspector)),
        "loop": chosen.config.loop,
        "rounds": chosen.rounds,
        "seconds": chosen.seconds,
        "processors": processors(),
        "load before": round(before, 2),
        "made": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    inspector.close()
    path = CACHE / "results" / time.strftime("%Y%m%d-%H%M%S.json")
    report.save(path, facts)
    print(
        ", ".join(f"{name} {value}" for name, value in facts.items()),
        report.text(),
        sep="\n\n",
    )
    print(f"\nAll samples: {path}")
    if options.rst and isinstance(report, CacheReport):
        report.write(options.rst, facts)


def beside_peers(chosen: Plan, inspector: Inspector) -> list[Pairs]:
    return [
        pairs
        for peer in TIMES
        if {REDIS, peer} <= {*chosen.modes}
        for pairs in run_pairs(chosen, inspector, REDIS, peer)
    ]


def postgresql_version(inspector: Inspector) -> dict[str, str]:
    return {"postgresql": inspector.server_version()}


def redis_version() -> dict[str, str]:
    from redis import Redis

    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        return {"redis": client.info("server")["redis_version"]}


def plan(options: argparse.Namespace, url: str) -> Plan:
    quick = options.quick
    modes, cases = (
        (CACHE_MODES, CACHE_CASES) if options.cache else (MODES, DATABASE_CASES)
    )
    return Plan(
        modes=options.modes or list(modes),
        cases=options.cases or list(cases),
        concurrency=options.concurrency,
        rounds=options.rounds or (2 if quick else 5),
        seconds=options.seconds or (0.3 if quick else 1.0),
        warmup=0.1 if quick else 0.3,
        retries=options.retries,
        config=Config(
            url=url,
            pool=options.pool,
            per_request=options.per_request,
            loop=options.loop,
        ),
    )


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure this project beside its peers: CPU per operation, "
        "throughput, latency, threads, connections, memory.",
        epilog="Uses the server of DATABASE_URL (in a database of its own), or an "
        "embedded PostgreSQL that it starts.",
    )
    add = found.add_argument
    add(
        "--quick",
        action="store_true",
        help="2 rounds of 0.3 seconds instead of 5 of 1 second",
    )
    add(
        "--modes",
        type=chosen_from([*MODES, *CACHE_MODES]),
        help=f"{', '.join(MODES)}; with --cache: {', '.join(CACHE_MODES)}",
    )
    add(
        "--cases",
        type=chosen_from([*CASES, *HTTP_CASES]),
        help=f"{', '.join(CASES)}; with --http: {', '.join(HTTP_CASES)}",
    )
    add(
        "--concurrency",
        type=numbers,
        default=[1, 20, 200],
        metavar="N,N",
        help="workers at once (1,20,200)",
    )
    add("--rounds", type=int, help="how many rounds; the figures are medians over them")
    add("--seconds", type=float, help="how long one job is measured")
    add("--retries", type=int, default=0, help="how often to repeat a disturbed job")
    add("--pool", type=int, default=20, help="connections a mode may open (20)")
    add(
        "--per-request",
        type=int,
        default=10,
        metavar="N",
        help="operations per request (10)",
    )
    add("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    add(
        "--profile",
        action="store_true",
        help="profile the chosen modes, cases and concurrency instead",
    )
    add(
        "--scale",
        action="store_true",
        help="show this project at scale instead: tasks, connections, threads",
    )
    add("--cache", action="store_true", help="measure caches instead, over Redis")
    add(
        "--http",
        action="store_true",
        help="measure whole requests instead: this project's handler beside others",
    )
    add(
        "--detector",
        action="store_true",
        help="try the detector of blocking calls instead, and others: what each finds",
    )
    add(
        "--peers",
        type=chosen_from([*PEERS, *TECHNIQUES]),
        help=f"with --http: {', '.join(PEERS)}; "
        f"with --detector: {', '.join(TECHNIQUES)}",
    )
    add(
        "--rst",
        type=Path,
        help="with --http, --cache or --detector: write the tables to this file as "
        "well, and the chart of the caches beside it",
    )
    return found


def chosen_from(known: list[str]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return names

    return chosen


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
