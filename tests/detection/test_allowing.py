"""allow_blocking() and ALLOW: what they cover, and what is told of them."""

import asyncio
import sys
from typing import Any

import pytest
from django.test import override_settings

from django_async_ext.detection import allow_blocking, allowing


def allowed() -> bool:
    return allowing.in_context()


@pytest.mark.parametrize("reason", ["", "  ", None, 3])
def test_a_reason_in_words_is_needed(reason: Any) -> None:
    with pytest.raises(TypeError) as raised:
        allow_blocking(reason)
    assert str(raised.value) == (
        f"allow_blocking() takes a reason in words, not {reason!r}: whoever reads the "
        'code later must be able to judge it. Write allow_blocking("the reason").'
    )


def test_decorating_without_a_reason_is_refused() -> None:
    with pytest.raises(TypeError, match="takes a reason in words"):

        @allow_blocking
        def decorated() -> None: ...


def test_a_block_allows_until_it_ends() -> None:
    with allow_blocking("quick"):
        assert allowed()
    assert not allowed()


def test_blocks_may_be_nested() -> None:
    with allow_blocking("outer"):
        with allow_blocking("inner"):
            assert allowed()
        assert allowed()
    assert not allowed()


def test_a_block_that_raises_allows_no_more() -> None:
    with pytest.raises(ZeroDivisionError), allow_blocking("quick"):
        raise ZeroDivisionError
    assert not allowed()


def test_a_function_may_be_decorated() -> None:
    assert allow_blocking("quick")(allowed)()
    assert not allowed()


async def test_a_coroutine_function_is_allowed_across_its_waits() -> None:
    @allow_blocking("quick")
    async def decorated() -> bool:
        await asyncio.sleep(0)
        return allowed()

    assert await decorated()
    assert not allowed()


async def test_tasks_of_one_decorated_function_do_not_end_the_others() -> None:
    barrier = asyncio.Barrier(2)

    @allow_blocking("quick")
    async def decorated(first: bool) -> bool:
        await barrier.wait()
        if not first:
            await barrier.wait()
        result = allowed()
        if first:
            await barrier.wait()
        return result and allowed()

    results = await asyncio.gather(decorated(True), decorated(False))
    assert results == [True, True]
    assert not allowed()


async def test_what_the_block_starts_is_allowed_too() -> None:
    async def child() -> bool:
        await asyncio.sleep(0)
        return allowed()

    with allow_blocking("quick"):
        task = asyncio.create_task(child())
    assert await task


@pytest.mark.parametrize(
    "entry",
    [
        "tests.detection.test_allowing",
        "tests.detection",
        f"{__name__}.test_the_settings_allow_by_name_and_by_file",
        "tests/detection/*.py",
        "*/test_allowing.py",
        "test_allowing.py",
    ],
)
def test_the_settings_allow_by_name_and_by_file(entry: str) -> None:
    with override_settings(ASYNC_EXT={"DETECTION": {"ALLOW": [entry]}}):
        assert allowing.by_settings([sys._getframe()])


@pytest.mark.parametrize(
    "entry", ["tests.detection.test_allow", "tests.other", "other/*.py", "allowing.py"]
)
def test_the_settings_allow_nothing_else(entry: str) -> None:
    with override_settings(ASYNC_EXT={"DETECTION": {"ALLOW": [entry]}}):
        assert not allowing.by_settings([sys._getframe()])
        assert f"ALLOW of the settings: {entry!r}" in allowing.unused()


def test_what_allowed_nothing_is_told_with_its_place_and_reason() -> None:
    with allow_blocking("never needed"):
        pass
    (line,) = (one for one in allowing.unused() if "never needed" in one)
    assert line.startswith(f"{__file__}:")
    assert line.endswith("allow_blocking('never needed')")


def test_what_allowed_something_is_not_told() -> None:
    with allow_blocking("needed here"):
        assert allowed()
    assert not [one for one in allowing.unused() if "needed here" in one]
