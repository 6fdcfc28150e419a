"""Any queryset gives the same on the loop, or is refused in the same words.

``CONTRACT_EXAMPLES`` says how many are tried for each database.
"""

import os
from datetime import date
from typing import Any

import pytest
from django.db import models
from django.db.models import functions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_async_ext import on_loop
from tests.contract import models as contract_models
from tests.contract.case import rows
from tests.contract.conftest import ALIASES, Stage
from tests.contract.generating import endings, querysets

NAMES = {**vars(models), **vars(functions), **vars(contract_models), "date": date}

generated = settings(
    max_examples=int(os.environ.get("CONTRACT_EXAMPLES", "40")),
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def made(code: str, db: str) -> Any:
    return eval(code, NAMES, {"db": db})


@pytest.mark.parametrize("using", ALIASES)
@generated
@given(code=querysets(), way=st.sampled_from(["awaited", "in a loop", "in chunks"]))
def test_any_queryset_gives_the_same_rows(
    code: tuple[str, str], way: str, using: str, stage: Stage
) -> None:
    case = rows(lambda db: made(code[0], db))
    synchronous, awaitable = case.ways[way]
    expected = stage.run(using, case.prepare, synchronous)
    for one in (awaitable, on_loop(synchronous)):
        assert stage.arun(using, case.prepare, one) == expected


@pytest.mark.parametrize("using", ALIASES)
@generated
@given(data=st.data(), code=querysets())
def test_any_queryset_answers_the_same(
    data: st.DataObject, code: tuple[str, str], using: str, stage: Stage
) -> None:
    ending = data.draw(endings(code[1]))

    def prepare(db: str) -> Any:
        return made(code[0], db)

    def ask(queryset: Any) -> Any:
        return eval(f"queryset.{ending}", NAMES, {"queryset": queryset})

    async def aask(queryset: Any) -> Any:
        return await eval(f"queryset.a{ending}", NAMES, {"queryset": queryset})

    expected = stage.run(using, prepare, ask)
    assert stage.arun(using, prepare, aask) == expected


def test_what_is_generated_is_mostly_accepted() -> None:
    """Otherwise errors alone would be compared."""
    found: list[Any] = []

    @settings(generated, max_examples=100)
    @given(code=querysets())
    def collect(code: tuple[str, str]) -> None:
        try:
            str(made(code[0], "default").query)
        except Exception as error:  # noqa: BLE001 (it is counted)
            found.append(error)
        else:
            found.append(None)

    collect()
    assert found.count(None) > len(found) * 0.5
