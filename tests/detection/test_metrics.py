"""The metrics are text that Prometheus reads, and count up."""

import os
import re

from django_async_ext.detection import metrics
from django_async_ext.detection.frames import Place
from django_async_ext.detection.reports import Occurrence, reports
from django_async_ext.detection.rules import RULES
from django_async_ext.detection.watchdog import lag, stalls

LINE = re.compile(r'^([a-z_]+)\{pid="(\d+)"(?:,([a-z]+)="([^"]+)")?\} ([\d.e+-]+)$')
PREFIX = "django_async_ext_"


def values() -> dict[tuple[str, str], float]:
    found = {}
    for line in metrics.text().splitlines():
        if not line.startswith("#"):
            match = LINE.match(line)
            assert match, line
            assert match[2] == str(os.getpid())
            found[match[1].removeprefix(PREFIX), match[4] or ""] = float(match[5])
    return found


def test_every_metric_is_described_once_before_its_values() -> None:
    described: list[str] = []
    for line in metrics.text().splitlines():
        if line.startswith("# TYPE"):
            described.append(line.split()[2])
        elif not line.startswith("#"):
            assert line.startswith(described[-1])
    assert len(described) == len(set(described)) == 5
    assert metrics.text().endswith("\n")


def test_every_rule_has_a_counter_that_goes_up() -> None:
    before = values()
    one = Occurrence("orm", "QuerySet.get", "await it", Place("f.py", 1, "f"))
    reports.add(one, "", log=False)
    reports.clear()
    reports.add(one, "", log=False)
    after = values()
    assert {rule for name, rule in after if name == "blocking_calls_total"} == {*RULES}
    key = ("blocking_calls_total", "orm")
    assert after[key] - before[key] == 2


def test_stalls_are_counted_with_their_seconds_and_causes() -> None:
    before, one = values(), lag.start()
    one.stall(0.25)
    stalls.explained["gil"] += 1
    after = values()
    lag.end(one)

    def gone_up(name: str, label: str = "") -> float:
        return after[name, label] - before[name, label]

    assert gone_up("loop_stalls_total") == 1
    assert round(gone_up("loop_stall_seconds_total"), 6) == 0.25
    assert gone_up("loop_stalls_explained_total", "gil") == 1


def test_the_buckets_of_the_histogram_add_up() -> None:
    one = lag.start()
    one.observe(0.003, 1.0)
    one.observe(99.5, 100.0)
    found = values()
    lag.end(one)
    name = "loop_lag_seconds_bucket"
    buckets = [value for (metric, _), value in found.items() if metric == name]
    assert buckets == sorted(buckets)
    assert len(buckets) == len(lag.BOUNDS) + 1
    assert found[name, "+Inf"] == found["loop_lag_seconds_count", ""]
    assert found[name, "+Inf"] - found[name, "10"] >= 1
    assert found["loop_lag_seconds_sum", ""] >= 99.5
