"""What is to happen to a bank, decided before anything happens.

A plan follows from its source of random numbers alone: the same seed gives the same
plan. In what order its tasks then run is up to the network.
"""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

ACCOUNTS = 5
BALANCE = 1000

#: Blocks of a transaction whose rows stay, and those whose rows do not.
KEPT = ("plain", "savepoint", "no savepoint", "synchronous", "gathered", "skip locked")
UNDONE = ("undone", "broken", "undone in synchronous code", "nowait")
INTERLUDES = ("", "", "pause", "sum", "stream", "broken off", "child", "prefetch")
ENDINGS = ("commit",) * 6 + ("raise", "set rollback")
#: Operations without a transaction around them.
SINGLE = ("add", "sum", "stream", "broken off", "gather", "pipeline", "hold", "slow")
FAULTS = ("terminate", "terminate all", "cut", "cut all", "truncate", "refuse", "hold")


class Step(NamedTuple):
    """Moves money between two accounts, after an interlude."""

    source: int
    target: int
    amount: int
    block: str
    interlude: str

    @property
    def is_kept(self) -> bool:
        return self.block in KEPT


class Operation(NamedTuple):
    """What one task does."""

    number: int
    kind: str
    steps: tuple[Step, ...]
    ending: str
    #: Whether it locks its accounts in order, so that it cannot be in a deadlock.
    locks_first: bool
    has_async_hook: bool
    #: The suspensions of its task at which it is cancelled.
    cancelled_at: tuple[int, ...]


class Fault(NamedTuple):
    """What happens to the network or the server, when ``at`` steps were begun."""

    at: int
    kind: str
    index: int


@dataclass(frozen=True)
class Plan:
    """Operations that start together, and what disturbs them."""

    operations: tuple[Operation, ...]
    faults: tuple[Fault, ...]


def make_plan(random: Random, operations: int, faults: int) -> Plan:
    """Make a plan of so many operations and, at most, so many faults."""
    made = tuple(_operation(random, number) for number in range(operations))
    steps = sum(len(operation.steps) + 1 for operation in made)
    kinds = [random.choice(FAULTS) for _ in range(faults)]
    return Plan(
        made,
        tuple(
            Fault(random.randint(1, steps), kind, random.randint(0, 9))
            for kind in kinds
        ),
    )


def _operation(random: Random, number: int) -> Operation:
    kind = random.choice(("transaction", "transaction", "decorated", "single"))
    steps: tuple[Step, ...] = ()
    if kind == "single":
        kind = random.choice(SINGLE)
    else:
        steps = tuple(_step(random) for _ in range(random.randint(1, 4)))
    return Operation(
        number,
        kind,
        steps,
        ending=random.choice(ENDINGS),
        locks_first=random.randint(0, 9) > 0,
        has_async_hook=random.choice((False, True)),
        cancelled_at=random.choice(
            ((), (), (random.randint(1, 60),), tuple(random.sample(range(1, 60), 3)))
        ),
    )


def _step(random: Random) -> Step:
    source = random.randint(0, ACCOUNTS - 1)
    return Step(
        source,
        target=(source + random.randint(1, ACCOUNTS - 1)) % ACCOUNTS,
        amount=random.randint(1, 100),
        block=random.choice(KEPT + UNDONE),
        interlude=random.choice(INTERLUDES),
    )
