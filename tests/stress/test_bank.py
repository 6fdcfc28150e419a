"""Random operations, cancellations and faults against a model of accounts.

A longer run of the same: ``scripts/soak``.
"""

import asyncio
import os
from random import Random, SystemRandom

import pytest
from django.db import connections
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.db.server import Server, until
from tests.stress.bank import execute_plan
from tests.stress.plan import Plan, make_plan
from tests.waiting import PATIENCE


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    options = connections.settings["default"]["OPTIONS"]
    monkeypatch.setitem(options, "pool", {"max_size": 4, "timeout": PATIENCE})
    monkeypatch.setitem(options, "options", "-c deadlock_timeout=20ms")


def what_goes_wrong(plan: Plan, server: Server) -> list[str]:
    bank = asyncio.run(execute_plan(plan, server))
    asyncio.run(until(lambda: server.sessions() == 0))
    return bank.wrong


examples = settings(
    deadline=None,
    max_examples=15,
    database=None,
    # Interleavings differ between runs: a smaller plan may pass by luck.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
randoms = st.randoms(use_true_random=False)


@examples
@given(random=randoms, operations=st.integers(1, 10))
def test_cancelled_operations_happen_entirely_or_not_at_all(
    server: Server, random: Random, operations: int
) -> None:
    plan = make_plan(random, operations, faults=0)
    note(str(plan))
    assert what_goes_wrong(plan, server) == []


@examples
@given(random=randoms, operations=st.integers(1, 10), faults=st.integers(1, 4))
def test_operations_on_a_failing_network_happen_entirely_or_not_at_all(
    server: Server, random: Random, operations: int, faults: int
) -> None:
    plan = make_plan(random, operations, faults)
    note(str(plan))
    assert what_goes_wrong(plan, server) == []


@pytest.mark.parametrize("faults", [0, 12])
def test_hundred_operations_at_once_happen_entirely_or_not_at_all(
    server: Server, faults: int
) -> None:
    seed = int(os.environ.get("STRESS_SEED") or SystemRandom().getrandbits(32))
    print(f"STRESS_SEED={seed}")
    plan = make_plan(Random(seed), 100, faults)
    assert what_goes_wrong(plan, server) == []
