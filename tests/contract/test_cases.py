"""Each case gives the same on every database, synchronously and on the loop."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from django_async_ext import aatomic, on_loop
from tests.contract.cases import reading, transactions, writing
from tests.contract.conftest import ALIASES, Stage

CASES = {**reading.CASES, **writing.CASES, **transactions.CASES}


def ways() -> Iterator[Any]:
    for name, case in CASES.items():
        for way in case.ways:
            yield pytest.param(case, way, id=f"{name} {way}".strip())


@pytest.mark.parametrize("using", ALIASES)
@pytest.mark.parametrize(("case", "way"), [*ways()])
def test_a_case_is_the_same_on_the_loop(
    case: Any, way: str, using: str, stage: Stage
) -> None:
    synchronous, awaitable = case.ways[way]
    awaitables = [awaitable]
    if way == next(iter(case.ways)):
        awaitables.append(on_loop(synchronous))
    expected = stage.run(using, case.prepare, synchronous)
    for one in awaitables:
        assert stage.arun(using, case.prepare, one) == expected


@pytest.mark.parametrize("using", ALIASES[:2])
@pytest.mark.parametrize("name", [*reading.CASES, *writing.CASES])
def test_a_case_is_the_same_in_a_transaction(
    name: str, using: str, stage: Stage
) -> None:
    case = CASES[name]
    synchronous, awaitable = next(iter(case.ways.values()))

    def inside(subject: Any) -> Any:
        with transaction.atomic(using):
            return synchronous(subject)

    async def ainside(subject: Any) -> Any:
        async with aatomic(using):
            return await awaitable(subject)

    expected = stage.run(using, case.prepare, inside)
    assert stage.arun(using, case.prepare, ainside) == expected
