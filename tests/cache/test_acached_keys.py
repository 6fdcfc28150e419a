"""What acached takes for the same value: by default the same name and arguments."""

import itertools
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import KEEP, Enum, Flag
from functools import partial, wraps
from types import MethodType
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import caches

from django_async_ext.cache import acached
from tests.library.models import Author

pytestmark = pytest.mark.usefixtures("own_caches")

_numbers = itertools.count()


@acached()
async def number(a: Any, b: int = 2, *, c: Any = None) -> int:
    """Say another number for each call that is not answered from the cache."""
    return next(_numbers)


async def test_arguments_are_the_same_however_they_are_given() -> None:
    one = await number(1)
    assert await number(1, 2) == one
    assert await number(b=2, a=1, c=None) == one


Orders = Enum("Status", "OPEN", module="orders", qualname="Status")
Tickets = Enum("Status", "OPEN", module="tickets", qualname="Status")
Point = namedtuple("Point", "x y")
Size = namedtuple("Size", "x y")


class Shown(Enum):
    """Shows what a user may read."""

    FIRST = 1
    SECOND = 2

    def __str__(self) -> str:
        return "shown"


class Bits(Flag, boundary=KEEP):
    """Keeps bits that have no name."""

    FIRST = 1


class Money(Decimal):
    """Shows cents."""

    def __str__(self) -> str:
        return f"{self:.2f}"


class Rounded(float):
    """Shows no digits."""

    def __repr__(self) -> str:
        return f"{self:.0f}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Shown.FIRST, Shown.SECOND),
        (Bits(2), Bits(4)),
        (Money("1.001"), Money("1.002")),
        (Rounded(1.1), Rounded(1.2)),
    ],
)
async def test_arguments_are_told_apart_that_look_the_same(
    one: Any, other: Any
) -> None:
    assert await number(one) == await number(one) != await number(other)


async def test_every_plain_value_has_a_key() -> None:
    moment = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    values = [
        *("a", b"a", True, 1, 1.5, Decimal(1), None, UUID(int=1)),
        *(moment, moment.date(), moment.time(), timedelta(1), Shown.FIRST, Bits(1)),
    ]
    found = [await number(value) for value in values]
    assert len(set(found)) == len(values)
    assert [await number(value) for value in values] == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        ([1, "1"], [1, 1]),
        ({1: "x"}, {"1": "x"}),
        (Orders.OPEN, Tickets.OPEN),
        (Point(1, 2), Size(1, 2)),
        ({"x": 1}, OrderedDict(x=1)),
    ],
)
async def test_arguments_of_other_types_are_others(one: Any, other: Any) -> None:
    assert await number(one) == await number(one) != await number(other)
    assert await number([one]) == await number([one]) != await number([other])


async def test_key_alias_version_and_timeout_are_as_asked() -> None:
    @acached(30, key=lambda name: f"greeting:{name}", using="other", version=7)
    async def greet(name: str) -> str:
        return f"Hello {name}"

    await greet("Ada")
    assert await caches["other"].aget("greeting:Ada", version=7) == "Hello Ada"
    assert await caches["default"].aget("greeting:Ada", version=7) is None

    @acached(0, key=lambda: "unkept")
    async def unkept() -> int:
        return 1

    assert await unkept() == 1
    assert await caches["default"].aget("unkept") is None


async def test_a_saved_model_is_a_good_argument() -> None:
    @acached()
    async def name_of(author: Author) -> str:
        return author.name

    assert await name_of(Author(pk=1, name="Ada")) == "Ada"
    assert await name_of(Author(pk=1, name="changed since")) == "Ada"
    assert await name_of(Author(pk=2, name="Grace")) == "Grace"


async def test_a_model_of_another_database_is_another_argument() -> None:
    @acached()
    async def name_of(author: Author) -> str:
        return author.name

    here, there = Author(pk=1, name="here"), Author(pk=1, name="there")
    here._state.db, there._state.db = "default", "other"
    assert [await name_of(here), await name_of(there)] == ["here", "there"]


async def test_an_argument_without_a_stable_text_is_refused() -> None:
    @acached()
    async def fn(thing: object) -> None: ...

    with pytest.raises(TypeError) as caught:
        await fn(object())
    text = str(caught.value)
    assert text.startswith("acached cannot make a key of the argument thing=<object")
    assert "Say what the key is: @acached(key=lambda ...: ...)." in text
    with pytest.raises(TypeError, match="acached cannot make a key"):
        await fn(Author(name="not saved"))


# The function


class Shelf:
    name = "poems"


async def label(self: Any) -> str:
    return str(self.name)


def retrying(times: int) -> Callable[[Any], Any]:
    """Decorate as any project's decorator does."""

    def decorator(fn: Any) -> Any:
        @wraps(fn)
        async def inner(*args: Any, **kwargs: Any) -> Any:
            for _ in range(times):
                return await fn(*args, **kwargs)

        return inner

    return decorator


@pytest.mark.parametrize("decorate", [lambda method: method, retrying(1)])
async def test_the_object_of_a_method_is_an_argument(decorate: Any) -> None:
    for author in (Author(pk=1, name="Ada"), Author(pk=2, name="Grace")):
        method = decorate(MethodType(label, author))
        assert await acached()(method)() == author.name
    with pytest.raises(TypeError) as caught:
        await acached()(decorate(MethodType(label, Shelf())))()
    text = "acached cannot make a key of the argument self=<tests.cache.test_acached_"
    assert str(caught.value).startswith(text)


async def greet(name: str) -> str:
    return f"Hello {name}"


@acached()
@retrying(1)
async def farewell(name: str) -> str:
    return f"Goodbye {name}"


async def test_a_decorated_function_is_known_by_its_name() -> None:
    assert await acached()(retrying(1)(greet))("Ada") == "Hello Ada"
    assert await farewell("Ada") == await farewell("Ada") == "Goodbye Ada"
    assert await farewell("Grace") == "Goodbye Grace"


def rate_of(currency: str) -> Any:
    async def rate() -> str:
        return f"rate of {currency}"

    return rate


@pytest.mark.parametrize(
    "fn",
    [
        rate_of("EUR"),
        retrying(1)(rate_of("EUR")),
        partial(greet, "Ada"),
        partial(rate_of("EUR")),
    ],
)
async def test_a_function_that_was_made_with_values_is_refused(fn: Any) -> None:
    with pytest.raises(TypeError) as caught:
        acached()(fn)
    assert str(caught.value).startswith(
        f"acached cannot make a key of the name of {fn!r}: it was made with values of "
        "which its name says nothing, and another one may have others. Make them "
        "arguments, or say what the key is: @acached(key=lambda ...: ...). See "
    )
    assert await acached(key=lambda: "said")(fn)() == await fn()
