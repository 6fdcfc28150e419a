import asyncio
import os

from django_async_ext.loops import PerLoop


def counted() -> tuple[PerLoop[object], list[object]]:
    ended: list[object] = []
    return PerLoop(object, ended.append), ended


def test_each_loop_has_a_value_of_its_own_that_ends_with_it() -> None:
    per_loop, ended = counted()

    async def main() -> object:
        value = per_loop.get()
        assert per_loop.get() is value
        assert not ended or value not in ended
        return value

    values = [asyncio.run(main()), asyncio.run(main())]
    assert ended == values


def test_the_value_of_a_loop_that_was_only_closed_ends_at_the_next_use() -> None:
    per_loop, ended = counted()

    async def main() -> object:
        return per_loop.get()

    loop = asyncio.new_event_loop()
    value = loop.run_until_complete(main())
    loop.close()
    assert ended == []

    async def again() -> None:
        per_loop.get()
        assert ended == [value]

    asyncio.run(again())


def test_a_forked_child_has_no_values_and_ends_none() -> None:
    per_loop, ended = counted()

    async def get() -> object:
        return per_loop.get()

    async def main() -> int:
        value = per_loop.get()
        child = os.fork()
        if child == 0:
            empty = not per_loop.values
            fresh = asyncio.run(get())
            os._exit(0 if empty and ended == [fresh] and fresh is not value else 1)
        return os.waitpid(child, 0)[1]  # noqa: ASYNC222 (it ends at once)

    assert asyncio.run(main()) == 0
    assert len(ended) == 1


def test_a_value_can_be_ended_before_its_loop() -> None:
    per_loop, ended = counted()

    async def main() -> None:
        value = per_loop.get()
        per_loop.end(asyncio.get_running_loop())
        assert ended == [value]
        per_loop.end(asyncio.get_running_loop())
        assert ended == [value]
        assert per_loop.get() is not value

    asyncio.run(main())
    assert len(ended) == 2
