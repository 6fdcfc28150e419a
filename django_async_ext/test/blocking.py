"""The part of the plugin for pytest that fails tests which block the event loop.

Contract: does nothing without ``--blocking`` or the ini option ``blocking``, and needs
no engine of ours. What a test did is taken from the detector's record, so that code
which swallows exceptions hides nothing. Works with xdist: what was found travels with
the reports of the tests.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from django_async_ext.exceptions import describe
from django_async_ext.test.baseline import Baseline, Found

MODES = OFF, WARN, FAIL = ("off", "warn", "fail")
_MARK = (
    "blocking(mode=None, *, allow=(), max_stall=None): how this test may block the "
    "event loop: 'off', 'warn' or 'fail'; what is allowed, as rules, dotted names or "
    "globs of files; and the longest stall, as 0.05, '50ms' or '1s'."
)
_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0}


def pytest_addoption(parser: pytest.Parser) -> None:
    """As in pytest."""
    group = parser.getgroup("blocking", "calls that block the event loop")
    about = "what to do with tests that block the event loop (default: off)"
    group.addoption("--blocking", choices=MODES, help=about)
    parser.addini("blocking", about, default=OFF)
    group.addoption(
        "--blocking-baseline",
        metavar="FILE",
        help="a file of what is known to block and fails no test",
    )
    group.addoption(
        "--blocking-write-baseline",
        action="store_true",
        help="write what blocks into the file, instead of failing",
    )


def pytest_configure(config: pytest.Config) -> None:
    """As in pytest."""
    config.addinivalue_line("markers", _MARK)
    mode = config.getoption("blocking") or config.getini("blocking")
    if mode not in MODES:
        known = ", ".join(MODES)
        raise pytest.UsageError(f"blocking must be one of {known}, not {mode!r}.")
    file = config.getoption("blocking_baseline")
    write = config.getoption("blocking_write_baseline")
    if write and not file:
        raise pytest.UsageError(
            "--blocking-write-baseline needs the file: --blocking-baseline=FILE."
        )
    if mode != OFF or write:
        baseline = Baseline(file and Path(file), write=write)
        plugin = Plugin(WARN if write else mode, baseline, config)
        config.pluginmanager.register(plugin, "django_async_ext_blocking")


class Plugin:
    """Watches every test, and fails those that block in the mode "fail"."""

    def __init__(self, mode: str, baseline: Baseline, config: pytest.Config) -> None:
        self._mode, self._baseline, self._root = mode, baseline, config.rootpath
        self._is_split = bool(getattr(config.option, "numprocesses", None))
        self._mark = Mark(OFF, (), None)
        #: What the running test has done, and how much of it has been judged.
        self._found: list[Found] = []
        self._judged = 0
        #: What all tests have done, in the process that prints the summary.
        self._all: list[tuple[str, Found]] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Start the detector, once the project is loaded."""
        if session.config.getoption("collectonly") or not session.items:
            return
        marks = [self._read(item) for item in session.items]
        stalls = [mark.max_stall for mark in marks if mark.max_stall]
        self._start(min(stalls, default=None))

    def _start(self, stall: float | None) -> None:
        if not _has_settings():
            raise pytest.UsageError(
                "--blocking needs the settings of a Django project: install "
                "pytest-django and set DJANGO_SETTINGS_MODULE."
            )
        from django_async_ext.detection import activation, settings
        from django_async_ext.detection.reports import reports

        on: dict[str, Any] = {
            "ENDPOINTS": "record",
            "PRIMITIVES": "record",
            "WATCHDOG": "off",
        }
        if stall is not None:
            on |= {"WATCHDOG": "record", "STALL": stall, "HEARTBEAT": stall / 5}
        settings.force(**on)
        activation.stop()
        activation.start()
        reports.listeners.append(self._hear)

    def pytest_unconfigure(self) -> None:
        """Stop the detector."""
        from django_async_ext.detection import activation, settings
        from django_async_ext.detection.reports import reports

        if self._hear in reports.listeners:
            reports.listeners.remove(self._hear)
            activation.stop()
            settings.force()

    def _hear(self, occurrence: Any, report: Any) -> None:  # noqa: ARG002
        mark = self._mark
        if occurrence.rule == "stall":
            short = mark.max_stall is None or occurrence.seconds < mark.max_stall
            if short or occurrence.cause == "starved":
                return
        found = Found.of(occurrence, self._root)
        known = found in self._found or self._baseline.has(found)
        if not (mark.mode == OFF or known or found.is_allowed(mark.allow)):
            self._found.append(found)

    # Around each phase of a test

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, Any]:
        """Begin with nothing found; what fixtures do counts as the test's."""
        self._mark = self._read(item)
        self._found, self._judged = [], 0
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, Any]:
        """Judge the test, and what was set up for it."""
        test = getattr(item, "obj", None)
        if self._mark.max_stall is not None and inspect.iscoroutinefunction(test):
            item.obj = _on_watched_loop(test)  # type: ignore[attr-defined]
        try:
            result = yield
        except BaseException:
            # Its own failure is told first, and may follow from what blocked.
            if new := self._take():
                item.add_report_section("call", "blocking", _text(new))
            raise
        self._judge()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, Any]:
        """Judge what ends the test."""
        result = yield
        self._judge()
        return result

    def _judge(self) -> None:
        new = self._take()
        if new and self._mark.mode == FAIL:
            pytest.fail(_text(new), pytrace=False)

    def _take(self) -> list[Found]:
        new = self._found[self._judged :]
        self._judged = len(self._found)
        return new

    # The summary

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, Any]:
        """Let the report carry what was found to the process with the summary."""
        report = yield
        if call.when == "teardown":
            report.blocking = [list(found) for found in self._found]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what the report carries."""
        carried = getattr(report, "blocking", ())
        self._all += [(report.nodeid, Found(*each)) for each in carried]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """List what blocked, and what of the baseline is no more needed."""
        if self._baseline.write:
            self._baseline.save(found for _, found in self._all)
        lines = list(_summary(self._all))
        lines += [f"not needed in the baseline: {one}" for one in self._unneeded()]
        if lines:
            terminalreporter.section("calls that block the event loop", yellow=True)
            for line in lines:
                terminalreporter.line(line)

    def _unneeded(self) -> list[str]:
        # A worker of xdist knows what it met, this process does not.
        return [] if self._is_split else self._baseline.unused()

    def _read(self, item: pytest.Item) -> Mark:
        """Read the marks of a test; the nearest one says what is not a list."""
        mode, max_stall = "", None
        allow: list[str] = []
        for mark in item.iter_markers("blocking"):
            values = _mark(*mark.args, **mark.kwargs)
            mode, max_stall = mode or values.mode, max_stall or values.max_stall
            allow += values.allow
        return Mark(mode or self._mode, tuple(allow), max_stall)


class Mark(NamedTuple):
    """What the marks of a test say."""

    mode: str
    allow: tuple[str, ...]
    max_stall: float | None


def _has_settings() -> bool:
    from django.conf import settings

    return settings.configured or "DJANGO_SETTINGS_MODULE" in os.environ


def _mark(
    mode: str = "", *, allow: Iterable[str] = (), max_stall: float | str | None = None
) -> Mark:
    if mode and mode not in MODES:
        known = ", ".join(MODES)
        raise pytest.UsageError(f"The mark blocking takes one of {known}, not {mode}.")
    seconds = None if max_stall is None else _seconds(max_stall)
    return Mark(mode, (allow,) if isinstance(allow, str) else tuple(allow), seconds)


def _seconds(value: float | str) -> float:
    match = re.fullmatch(r"([0-9.]+) *(ms|s|)", str(value))
    if match is None:
        raise pytest.UsageError(
            f"max_stall of the mark blocking is a time such as 0.05 or '50ms', not "
            f"{value!r}."
        )
    return float(match[1]) * _UNITS[match[2]]


def _on_watched_loop(test: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(test)
    async def watched(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        from django_async_ext.detection import activation, watchdog

        activation.watch_loop()
        try:
            return await test(*args, **kwargs)
        finally:
            # Or its last stall would be another test's.
            await watchdog.settled()

    return watched


def _text(found: list[Found]) -> str:
    entries = "\n".join(one.text() for one in found)
    return describe(
        "test-blocks",
        f"This test blocked the event loop:\n{entries}\n",
        "Write what the remedy says, or allow it: @pytest.mark.blocking(allow=[...]), "
        'or allow_blocking("the reason") in the code.',
    )


def _summary(found: Iterable[tuple[str, Found]]) -> Iterator[str]:
    """Say of each place that blocks in how many tests it did."""
    tests: dict[Found, set[str]] = {}
    for test, one in found:
        tests.setdefault(one, set()).add(test)
    for one, met in sorted(tests.items()):
        yield f"{one.text()}  [{len(met)} tests, such as {min(met)}]"
