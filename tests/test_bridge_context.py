"""What code finds around itself on either side: variables, settings, exceptions."""

import asyncio
import contextvars
import decimal
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.local import Local
from django.utils import timezone, translation

from django_async_ext.bridge import await_, on_loop

number: ContextVar[int] = ContextVar("number", default=0)


async def turn() -> None:
    """Let every other task that is ready run once."""
    await asyncio.sleep(0)


# Context variables


async def test_sync_code_sees_what_the_coroutine_set() -> None:
    number.set(1)
    assert await on_loop(number.get)() == 1


async def test_the_coroutine_sees_what_sync_code_set() -> None:
    await on_loop(number.set)(2)
    assert number.get() == 2


async def test_both_sides_see_each_other_s_changes_during_a_wait() -> None:
    async def double() -> None:
        number.set(number.get() * 2)
        await turn()

    def work() -> int:
        number.set(10)
        await_(double())
        assert number.get() == 20
        number.set(30)
        await_(double())
        return number.get()

    assert await on_loop(work)() == 60
    assert number.get() == 60


async def test_a_token_of_one_side_resets_on_the_other() -> None:
    async def reset(token: contextvars.Token[int]) -> None:
        number.reset(token)

    number.set(1)
    token = await on_loop(number.set)(2)
    number.reset(token)
    assert number.get() == 1
    token = number.set(3)
    await on_loop(number.reset)(token)
    assert number.get() == 1
    await on_loop(lambda: await_(reset(number.set(4))))()
    assert number.get() == 1


async def test_a_copied_context_stays_apart_over_a_wait() -> None:
    def apart() -> int:
        number.set(2)
        await_(turn())
        return number.get()

    def work() -> tuple[int, int]:
        number.set(1)
        inside = contextvars.copy_context().run(apart)
        return inside, number.get()

    assert await on_loop(work)() == (2, 1)


async def test_a_task_started_in_sync_code_inherits_a_copy() -> None:
    async def child() -> int:
        inherited = number.get()
        number.set(99)
        return inherited

    def work() -> int:
        number.set(5)
        return await_(asyncio.get_running_loop().create_task(child()))

    assert await on_loop(work)() == 5
    assert number.get() == 5


@pytest.mark.parametrize("thread_critical", [False, True])
async def test_asgiref_locals_are_shared_by_both_sides(thread_critical: bool) -> None:
    local = Local(thread_critical)
    local.left = "coroutine"

    async def change() -> None:
        assert local.right == "sync code"
        local.right = "coroutine again"

    def work() -> str:
        assert local.left == "coroutine"
        local.right = "sync code"
        await_(change())
        return local.right

    assert await on_loop(work)() == "coroutine again"
    assert local.right == "coroutine again"


async def test_an_activated_language_crosses_the_bridge() -> None:
    async def language() -> str:
        await turn()
        return translation.get_language()

    def work() -> tuple[str, str]:
        with translation.override("fr"):
            return await_(language()), translation.get_language()

    with translation.override("de"):
        assert await on_loop(translation.get_language)() == "de"
        assert await on_loop(work)() == ("fr", "fr")
        assert translation.get_language() == "de"


async def test_an_activated_time_zone_crosses_the_bridge() -> None:
    async def zone() -> str:
        await turn()
        return timezone.get_current_timezone_name()

    def work() -> str:
        with timezone.override("Asia/Tokyo"):
            return await_(zone())

    with timezone.override("Europe/Vienna"):
        assert await on_loop(timezone.get_current_timezone_name)() == "Europe/Vienna"
        assert await on_loop(work)() == "Asia/Tokyo"
        assert timezone.get_current_timezone_name() == "Europe/Vienna"


async def test_a_decimal_context_crosses_the_bridge() -> None:
    async def third() -> decimal.Decimal:
        await turn()
        return decimal.Decimal(1) / 3

    def work() -> decimal.Decimal:
        with decimal.localcontext(prec=3):
            return await_(third())

    with decimal.localcontext(prec=5):
        assert await on_loop(work)() == decimal.Decimal("0.333")
        assert decimal.getcontext().prec == 5


async def test_a_thousand_tasks_do_not_mix_their_contexts() -> None:
    local = Local()
    languages = ["de", "fr", "nl", "pl"]
    zones = ["Asia/Tokyo", "Europe/Vienna", "UTC"]

    def surroundings() -> tuple[Any, ...]:
        return (
            number.get(),
            local.value,
            decimal.getcontext().prec,
            translation.get_language(),
            timezone.get_current_timezone_name(),
            str(sys.exception()),
        )

    async def changes_and_looks() -> tuple[Any, ...]:
        await turn()
        return surroundings()

    def work(index: int) -> None:
        number.set(index)
        local.value = index
        expected = (
            *(index, index, 1 + index % 20),
            *(languages[index % 4], zones[index % 3], str(index)),
        )
        with (
            decimal.localcontext(prec=1 + index % 20),
            translation.override(languages[index % 4]),
            timezone.override(zones[index % 3]),
        ):
            try:
                raise KeyError(index)
            except KeyError:
                for _ in range(5):
                    assert await_(changes_and_looks()) == expected
                    assert surroundings() == expected

    await asyncio.gather(*(on_loop(work)(index) for index in range(1000)))


# The exception being handled


async def while_handling(error: Exception, work: Callable[[], Any]) -> Any:
    try:
        raise error
    except type(error):
        return await on_loop(work)()


async def test_sync_code_sees_the_exception_its_caller_handles() -> None:
    error = ValueError("handled")
    try:
        raise error
    except ValueError:
        assert await on_loop(sys.exception)() is error
        assert (await on_loop(sys.exc_info)())[:2] == (ValueError, error)
    assert await on_loop(sys.exception)() is None


async def test_a_coroutine_sees_the_exception_that_sync_code_handles() -> None:
    async def handled() -> BaseException | None:
        await turn()
        return sys.exception()

    def work() -> None:
        error = ValueError("handled")
        try:
            raise error
        except ValueError:
            assert await_(handled()) is error
            assert sys.exception() is error
        assert await_(handled()) is None

    await on_loop(work)()


async def test_what_others_handle_during_a_wait_is_not_seen() -> None:
    switched, back = asyncio.Event(), asyncio.Event()

    def work(error: Exception, first: asyncio.Event, then: asyncio.Event) -> None:
        try:
            raise error
        except (ValueError, KeyError):
            first.set()
            await_(then.wait())
            assert sys.exception() is error

    await asyncio.gather(
        on_loop(work)(ValueError("one"), switched, back),
        on_loop(work)(KeyError("two"), back, switched),
    )
    assert sys.exception() is None


async def test_a_new_error_names_the_handled_one_as_its_context() -> None:
    async def fail_too() -> None:
        await turn()
        raise KeyError("second")

    def work() -> None:
        try:
            raise ValueError("first")
        except ValueError:
            await_(fail_too())

    with pytest.raises(KeyError, match="second") as caught:
        await on_loop(work)()
    assert str(caught.value.__context__) == "first"


async def test_an_error_of_sync_code_names_its_caller_s_as_its_context() -> None:
    def work() -> None:
        await_(turn())
        raise KeyError("second")

    with pytest.raises(KeyError) as caught:
        await while_handling(ValueError("first"), work)
    assert str(caught.value.__context__) == "first"


async def test_a_bare_raise_works_on_the_other_side() -> None:
    def work() -> None:
        await_(turn())
        raise

    error = ValueError("handled")
    with pytest.raises(ValueError, match="handled") as caught:
        await while_handling(error, work)
    assert caught.value is error


async def test_a_wait_leaves_the_handled_exception_untouched() -> None:
    def parts(error: BaseException) -> tuple[Any, ...]:
        return error.__traceback__, error.__context__, error.__cause__

    async def coroutine() -> None:
        try:
            raise KeyError("of the coroutine")
        except KeyError:
            await on_loop(await_)(turn())

    def work() -> None:
        try:
            try:
                raise ValueError("first")
            except ValueError as first:
                raise KeyError("second") from first
        except KeyError as error:
            before = parts(error)
            await_(coroutine())
            after = parts(error)
        assert before == after

    try:
        raise ValueError("of the caller")
    except ValueError as error:
        before = parts(error)
        await on_loop(work)()
        after = parts(error)
    assert before == after


async def test_a_handled_exception_may_be_immutable() -> None:
    @dataclass(frozen=True)
    class FrozenError(Exception):
        code: int

    def work() -> BaseException | None:
        try:
            raise FrozenError(2)
        except FrozenError:
            await_(turn())
            return sys.exception()

    try:
        raise FrozenError(1)
    except FrozenError:
        assert await on_loop(work)() == FrozenError(2)
