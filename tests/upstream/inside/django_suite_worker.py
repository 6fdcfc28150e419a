"""Runs one label of Django's suite and writes down what became of each test.

Started by ``running.py`` in the folder of Django's tests, with that folder,
this one and the package on ``PYTHONPATH``. Arguments: the mode, the label, the
file for the records, and the tests to leave out.

In the mode "bridge" everything that ``runtests.py`` does (creating databases,
fixtures, tests, teardown) happens in one greenlet of one task on a running
event loop. In the mode "sync" the same engine runs without a loop, and in the mode
"handler" asynchronous requests go through the package's handler besides. In all of
them the package is active; the mode "baseline" does not import it.

In the mode "bridge" the worker also notes every wait of psycopg that blocks the
thread of the loop: there should be none. Of every asynchronous test it notes
whether its coroutine ran on the loop that runs the suite.
"""

import asyncio
import atexit
import faulthandler
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import unittest
from functools import partial

from asgiref.sync import AsyncToSync
from django_suite_backends import substitute

#: Exit status of a run that was ended because one test took too long.
TEST_TIMEOUT = 70


class Records:
    """The file that tells ``running.py`` about each test, line by line."""

    def __init__(self, path):
        self.file = open(path, "w", buffering=1)

    def write(self, event, test, outcome=None, detail=""):
        # A skipped subtest counts as its test: its own id may hold addresses.
        test = getattr(test, "test_case", test)
        line = {"event": event, "test": test.id(), "time": time.time()}
        if outcome:
            line |= {"outcome": outcome, "detail": detail}
        self.file.write(json.dumps(line) + "\n")

    def write_blocking_wait(self, test, stack):
        line = {"event": "blocking wait", "test": test, "detail": stack}
        self.file.write(json.dumps(line) + "\n")

    def write_coroutine(self, test, on_loop):
        where = "on the loop" if on_loop else "elsewhere"
        line = {"event": "coroutine", "test": test, "detail": where}
        self.file.write(json.dumps(line) + "\n")

    def finish(self):
        self.file.write(json.dumps({"event": "finished"}) + "\n")


class RecordingResult(unittest.TextTestResult):
    """A text result that also writes records and limits each test's time."""

    records = None
    limit = 0
    current = "outside of tests"
    loop = None
    tasks_before = None

    def startTest(self, test):
        RecordingResult.current = test.id()
        note_coroutine(self.records, test, self.loop)
        if self.loop is not None:
            self.tasks_before = asyncio.all_tasks()
        self.records.write("start", test)
        signal.setitimer(signal.ITIMER_REAL, self.limit)
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        # Python 3.12.1 does not start a test that is skipped, but stops it.
        before, self.tasks_before = self.tasks_before, None
        if before is not None:
            end_tasks(asyncio.all_tasks() - before)
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.records.write("stop", test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.records.write("outcome", test, "ok")

    def addError(self, test, err):
        super().addError(test, err)
        self.records.write("outcome", test, "error", self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.records.write("outcome", test, "fail", self.failures[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.records.write("outcome", test, "skip", reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.records.write("outcome", test, "expected failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.records.write("outcome", test, "unexpected success")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            kind, noted = ("fail", self.failures) if failed else ("error", self.errors)
            detail = f"{subtest}\n{noted[-1][1]}"
            self.records.write("outcome", test, kind, detail)


def end_slow_test(signum, frame):
    """Show where every thread and greenlet stands, and end the process."""
    print("\nThis test took too long.", file=sys.stderr)
    faulthandler.dump_traceback(all_threads=True)
    for suspended in _suspended_greenlets():
        print(f"\n{suspended}", file=sys.stderr)
        traceback.print_stack(suspended.gr_frame, file=sys.stderr)
    sys.stderr.flush()
    os._exit(TEST_TIMEOUT)


def _suspended_greenlets():
    try:
        from greenlet import greenlet
    except ImportError:
        return []
    # Not isinstance(): it would wake Django's lazy objects.
    found = (it for it in gc.get_objects() if issubclass(type(it), greenlet))
    return [it for it in found if it.gr_frame is not None]


def recording_runner(runner, left_out):
    """Return the test runner class ``runner``, with ``RecordingResult``."""

    class RecordingRunner(runner):
        def get_resultclass(self):
            return RecordingResult

        def build_suite(self, *args, **kwargs):
            suite = super().build_suite(*args, **kwargs)
            suite._tests = [test for test in suite if test.id() not in left_out]
            return suite

    return RecordingRunner


async def on_running_loop(function):
    """Run ``function`` inside the bridge, on the loop that runs this."""
    from django_async_ext import on_loop

    RecordingResult.loop = asyncio.get_running_loop()
    return await on_loop(function)()


def note_coroutine(records, test, loop):
    """Let an asynchronous test write down whether it runs on ``loop``.

    Django has wrapped its method in asgiref's ``AsyncToSync`` by now.
    """
    method = getattr(test, getattr(test, "_testMethodName", ""), None)
    if not isinstance(method, AsyncToSync):
        return
    coroutine_function = method.awaitable

    async def noting(*args, **kwargs):
        records.write_coroutine(test.id(), asyncio.get_running_loop() is loop)
        return await coroutine_function(*args, **kwargs)

    method.awaitable = noting


def end_tasks(tasks):
    """Cancel what a test left running.

    Without this runner every asynchronous test has a loop of its own, and
    ``asyncio.run()`` cancels its tasks.
    """
    from django_async_ext import await_

    for task in tasks:
        task.cancel()
    if tasks:
        await_(asyncio.wait(tasks))


def note_blocking_waits(records):
    """Write down where psycopg blocks a thread that runs an event loop."""
    try:
        from psycopg import waiting
    except ImportError:
        return

    def noting(wait):
        def noting_wait(*args, **kwargs):
            if asyncio._get_running_loop() is not None:
                stack = "".join(traceback.format_stack(limit=30))
                records.write_blocking_wait(RecordingResult.current, stack)
            return wait(*args, **kwargs)

        return noting_wait

    for name in ("wait", "wait_conn"):
        setattr(waiting, name, noting(getattr(waiting, name)))


def own_temporary_folder():
    """Follow ``runtests.py``: a folder for the run, removed after it."""
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="django_")
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)


def prepare(mode, records, left_out):
    """Import Django's ``runtests`` and make its test runner keep records."""
    import runtests

    def get_runner(*args):
        # The first moment at which the suite's apps are loaded. The suite sets
        # INSTALLED_APPS itself: the package's app gets ready all the same.
        if mode != "baseline":
            from django.apps import AppConfig

            AppConfig.create("django_async_ext").ready()
            substitute()
        if mode == "handler":
            use_handler()
        return recording_runner(original(*args), left_out)

    original, runtests.get_runner = runtests.get_runner, get_runner
    RecordingResult.records = Records(records)
    if mode == "bridge":
        note_blocking_waits(RecordingResult.records)
    RecordingResult.limit = float(os.environ["DJANGO_SUITE_TEST_LIMIT"])
    signal.signal(signal.SIGALRM, end_slow_test)
    return runtests.django_tests


def use_handler():
    """Put the package's handler in the place of Django's asynchronous ones.

    Before the tests are imported, which derive classes from them.
    """
    import django.core.asgi
    import django.core.handlers.asgi
    import django.test.client as client

    from django_async_ext.handlers.asgi import ASGIHandler
    from django_async_ext.handlers.base import BaseHandler

    class AsyncClientHandler(BaseHandler, client.AsyncClientHandler):
        pass

    django.core.asgi.ASGIHandler = django.core.handlers.asgi.ASGIHandler = ASGIHandler
    client.AsyncClientHandler = AsyncClientHandler


def options(label):
    """Return the arguments of ``runtests.django_tests()`` for one label."""
    off = "failfast keepdb reverse debug_sql pdb buffer timing shuffle".split()
    unset = "tags exclude_tags test_name_patterns start_at start_after".split()
    return {
        **dict.fromkeys(off, False),
        **dict.fromkeys(unset),
        "verbosity": 1,
        "interactive": False,
        "test_labels": [label],
        "parallel": 1,
    }


def main(mode, label, records, *left_out):
    """Run ``label`` in ``mode``; return the number of failures."""
    own_temporary_folder()
    django_tests = prepare(mode, records, set(left_out))
    if mode == "bridge":
        work = partial(django_tests, **options(label))
        failures = asyncio.run(on_running_loop(work))
    else:
        failures = django_tests(**options(label))
    RecordingResult.records.finish()
    return failures


if __name__ == "__main__":
    sys.exit(1 if main(*sys.argv[1:]) else 0)
