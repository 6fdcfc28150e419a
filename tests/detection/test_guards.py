"""Functions are told of when they are entered on a loop, and stay what they are."""

import asyncio
import copy
import inspect
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import pytest

from django_async_ext.detection import guards
from django_async_ext.detection.guards import injecting
from django_async_ext.detection.rules import Endpoint
from tests.detection import samples
from tests.detection.samples import plain as imported_by_name

HERE = "tests.detection.samples"


class Told:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.error: Exception | None = None

    def __call__(self, endpoint: Endpoint, frame: FrameType) -> None:
        assert frame.f_code.co_name in endpoint.name
        self.names.append(endpoint.short)
        if self.error is not None:
            raise self.error


@pytest.fixture
def told() -> Iterator[Told]:
    yield Told()
    guards.release()


@pytest.fixture
def guard(told: Told) -> Callable[..., bool]:
    def guard(name: str, **options: Any) -> bool:
        endpoint = Endpoint("orm", f"{HERE}.{name}", "remedy", **options)
        return guards.guard(endpoint, told)

    return guard


async def test_a_guarded_function_tells_on_a_loop(guard: Any, told: Told) -> None:
    assert guard("plain")
    assert samples.plain(2, twice=True) == 4
    assert told.names == ["plain"]


async def test_it_tells_whoever_has_imported_it(guard: Any, told: Told) -> None:
    guard("plain")
    assert imported_by_name(2) == 2
    assert told.names == ["plain"]


def test_it_is_silent_without_a_loop(guard: Any, told: Told) -> None:
    guard("plain")
    assert samples.plain(2) == 2
    assert not told.names


async def test_it_is_silent_in_a_thread(guard: Any, told: Told) -> None:
    guard("plain")
    assert await asyncio.to_thread(samples.plain, 2) == 2
    assert not told.names


async def test_what_only_leads_is_not_told(guard: Any, told: Told) -> None:
    guard("plain", leads=True)
    assert samples.plain(2) == 2
    assert not told.names


@pytest.mark.parametrize(
    "name", ["method", "of_class", "static", "read", "once", "decorated"]
)
async def test_each_kind_of_method_tells(name: str, guard: Any, told: Told) -> None:
    guard(f"Sample.{name}")
    found = getattr(samples.Sample(), name)
    assert isinstance(found if isinstance(found, str) else found(), str)
    assert told.names == [f"Sample.{name}"]


async def test_a_generator_tells_when_it_begins(guard: Any, told: Told) -> None:
    guard("generating")
    values = samples.generating(1)
    assert not told.names
    assert list(values) == [1, 2]
    assert told.names == ["generating"]


async def test_an_error_of_the_told_reaches_the_caller(guard: Any, told: Told) -> None:
    guard("plain")
    told.error = ValueError("refused")
    with pytest.raises(ValueError, match="refused"):
        samples.plain(2)


async def test_a_guarded_function_handles_its_errors(guard: Any, told: Told) -> None:
    guard("handling")
    assert samples.handling("7") == "7"
    assert samples.handling("x").startswith("invalid literal")
    values = iter([])
    guard("generating")
    values = samples.generating(1)
    next(values)
    values.close()
    assert told.names == ["handling", "handling", "generating"]


async def test_a_guarded_function_closes_over_variables(guard: Any, told: Told) -> None:
    guard("closing_over")
    assert samples.closing_over(3)() == 3
    assert told.names == ["closing_over"]


async def test_a_guarded_function_fails_at_its_own_line(guard: Any, told: Told) -> None:
    guard("failing")
    with pytest.raises(ValueError, match="fails here") as caught:
        samples.failing()
    last = traceback.extract_tb(caught.tb)[-1]
    assert (last.name, last.line) == ("failing", 'raise ValueError("It fails here.")')
    # Pytest's last one is the first line of the function.
    assert told.names == ["failing"]


async def test_the_line_is_known_while_it_tells(guard: Any, told: Told) -> None:
    lines: list[int] = []
    first = samples.plain.__code__.co_firstlineno

    def note(endpoint: Endpoint, frame: FrameType) -> None:
        lines.append(frame.f_lineno)

    guards.guard(Endpoint("orm", f"{HERE}.plain", "remedy"), note)
    samples.plain(1)
    assert lines == [first]


async def test_a_guarded_function_stays_what_it_is(guard: Any, told: Told) -> None:
    before, signature = samples.plain, inspect.signature(samples.plain)
    guard("plain")
    assert samples.plain is before
    assert inspect.signature(samples.plain) == signature
    assert inspect.getsource(samples.plain).startswith("def plain(value")
    assert samples.plain.__doc__ == "Double it, perhaps."
    assert pickle.loads(pickle.dumps(samples.plain)) is before
    assert copy.deepcopy(samples.plain) is before
    assert not told.names


async def test_a_guarded_name_can_be_patched(guard: Any, told: Told) -> None:
    guard("plain")
    with mock.patch(f"{HERE}.plain", return_value=7):
        assert samples.plain(1) == 7
    assert not told.names
    assert samples.plain(1) == 1
    assert told.names == ["plain"]


async def test_a_module_is_guarded_when_it_is_imported(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_later.py").write_text("def block():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    endpoint = Endpoint("orm", "imported_later.block", "remedy")
    assert not guards.guard(endpoint, told)
    assert "imported_later" not in sys.modules
    import imported_later  # type: ignore[import-not-found]

    monkeypatch.setitem(sys.modules, "imported_later", imported_later)
    assert imported_later.block() == 1
    assert told.names == ["imported_later.block"]
    assert "exec_module" not in vars(imported_later.__loader__)


@pytest.mark.parametrize("name", ["nothing", "Sample.nothing", "Nothing.method"])
def test_what_there_is_not_is_not_guarded(name: str, guard: Any) -> None:
    assert not guard(name)


def test_what_is_not_written_in_python_is_not_guarded(told: Told) -> None:
    assert not guards.guard(Endpoint("sleep", "time.sleep", "remedy"), told)


async def test_release_ends_it(guard: Any, told: Told) -> None:
    code = samples.plain.__code__
    guard("plain")
    guards.release()
    assert samples.plain(1) == 1
    assert not told.names
    assert samples.plain.__code__ is code
    assert guards.known(code) is None


async def test_it_can_be_guarded_again(guard: Any, told: Told) -> None:
    for _ in range(2):
        guard("plain")
        samples.plain(1)
        guards.release()
    assert told.names == ["plain", "plain"]


def frame_of(function: Any) -> FrameType:
    """Return a frame that ran ``function``, which calls ``leaf()``."""
    frames: list[FrameType] = []

    def note() -> str:
        frame = sys._getframe(1)
        frames.append(frame)
        return "leaf"

    with mock.patch(f"{HERE}.leaf", note):
        function()
    return frames[0]


def test_a_method_of_a_class_that_is_made_later_is_known(guard: Any) -> None:
    guard("making.<locals>.Made.method", leads=True)
    found = guards.endpoint_of(frame_of(samples.making().method))
    assert found is not None
    assert found.short == "Made.method"


def of_overriding(receiver: Any, frames: list[FrameType]) -> None:
    class Override(type(receiver)):  # type: ignore[misc]
        def method(self) -> str:
            frames.append(sys._getframe())
            return ""

        def other(self) -> str:
            frames.append(sys._getframe())
            return ""

    receiver = Override()
    receiver.method()
    receiver.other()


def test_an_override_is_known_by_its_name(guard: Any) -> None:
    guard("Sample.method", leads=True)
    found: list[FrameType] = []
    of_overriding(samples.Overriding(), found)
    known = [guards.endpoint_of(frame) for frame in found]
    assert [each and each.short for each in known] == ["Sample.method", None]


def test_all_methods_of_a_subclass_can_be_known(guard: Any) -> None:
    guard("Sample.*", leads=True)
    found: list[FrameType] = []
    of_overriding(samples.Overriding(), found)
    known = [guards.endpoint_of(frame) for frame in found]
    assert [each and each.short for each in known] == ["Sample.*", "Sample.*"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="sys.monitoring is used")
@pytest.mark.parametrize("constants", [3, 300, 70_000])
def test_code_of_any_size_calls_first(constants: int) -> None:
    calls: list[str] = []
    function = samples.of_many_constants(constants)
    before = function(1)
    function.__code__ = injecting.calling_first(
        function.__code__, lambda: calls.append("called")
    )
    assert function(1) == before
    assert calls == ["called"]
