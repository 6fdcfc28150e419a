"""Under a server, on both loops: the right line, the right request, the cause."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.detection import stalling
from tests.programs import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60
MODULE = "tests.detection.stalling"


class Site:
    """The site in a process of its own, and what it has found."""

    def __init__(self, loop: str, log: Path) -> None:
        self.port = free_port()
        options = f"--host 127.0.0.1 --port {self.port} --loop {loop} --lifespan off"
        command = f"-m uvicorn {MODULE}:application {options}"
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command.split()],
                cwd=ROOT,
                env={k: v for k, v in os.environ.items() if "DJANGO" not in k},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        base = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=base, timeout=PATIENCE)

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                self.client.get("/reported/").raise_for_status()
                return
            time.sleep(0.02)
        raise AssertionError(f"The site does not answer:\n{self._log.read_text()}")

    def reports(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/reported/").json()["reports"]
        return found

    def found(self, path: str, **expected: Any) -> dict[str, Any]:
        """Ask for ``path`` until a report of it is there that is as expected.

        On a machine that has no processor to spare, one stall may tell nothing.
        """
        deadline = time.monotonic() + PATIENCE
        seen: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            self.client.get(path).raise_for_status()
            seen = self.reports()
            for each in seen:
                if expected.items() <= each.items():
                    return each
        raise AssertionError(f"{expected} is not among {seen}")

    def end(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    site = Site(request.param, tmp_path_factory.mktemp("site") / "log.txt")
    try:
        site.wait()
        yield site
    finally:
        site.end()


def request_of(name: str, path: str, view: str) -> dict[str, str]:
    view = f"{MODULE}.{view}"
    return {"method": "GET", "path": path, "view": view, "url_name": name}


def test_a_sleep_is_found_with_its_line_its_request_and_its_cause(site: Site) -> None:
    path = "/sleeping/long/"
    report = site.found(
        path,
        file=stalling.__file__,
        line=stalling.line("sleeping"),
        function=f"{MODULE}.sleeping",
        request=request_of("sleeps", path, "sleeping"),
        what="time.sleep",
        cause="blocked",
        remedy="await asyncio.sleep(...)",
    )
    assert report["rule"] == "stall"
    assert report["task"].startswith("Task-")
    assert report["longest"] >= 0.2
    assert "in sleeping" in report["stacks"][0]
    assert report["slack"] == pytest.approx(0.01)


def test_what_computes_is_found_as_that(site: Site) -> None:
    report = site.found(
        "/computing/",
        function=f"{MODULE}.compute",
        request=request_of("computes", "/computing/", "computing"),
        cause="cpu",
    )
    assert "process pool" in report["remedy"]


def test_a_hash_is_found_although_it_is_written_in_c(site: Site) -> None:
    report = site.found(
        "/hashing/",
        line=stalling.line("hashing"),
        request=request_of("hashes", "/hashing/", "hashing"),
        cause="cpu",
        remedy="await asyncio.to_thread(...)",
    )
    assert "pbkdf2_hmac" in report["what"]


def test_a_task_that_the_view_starts_belongs_to_its_request(site: Site) -> None:
    site.found(
        "/child-task/",
        line=stalling.line("child"),
        task="the child",
        request=request_of("starts a task", "/child-task/", "child_task"),
        cause="blocked",
    )


def test_in_the_bridge_the_line_is_that_of_the_synchronous_code(site: Site) -> None:
    report = site.found(
        "/bridged/",
        line=stalling.line("bridged"),
        function=f"{MODULE}.wait_badly",
        request=request_of("bridges", "/bridged/", "bridged"),
        cause="blocked",
    )
    # And the stack goes on in the coroutine that waits for it.
    assert "in bridged" in report["stacks"][0]


def test_of_a_library_in_the_bridge_the_line_is_where_it_is_awaited(
    site: Site,
) -> None:
    site.found(
        "/bridged-library/",
        line=stalling.line("bridged library"),
        request=request_of("bridges a library", "/bridged-library/", "bridged_library"),
        cause="blocked",
    )


def test_a_thread_that_holds_pythons_lock_is_named(site: Site) -> None:
    site.found(
        "/hogged/",
        what="Thread 'the hog'",
        function=f"{MODULE}.dump",
        cause="gil",
        request=None,
    )


def test_the_metrics_tell_of_stalls_and_of_lag(site: Site) -> None:
    site.found("/sleeping/long/", line=stalling.line("sleeping"))
    response = site.client.get("/metrics/")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values = dict(
        line.rsplit(" ", 1)
        for line in response.text.splitlines()
        if not line.startswith("#")
    )
    pid = next(iter(values)).partition('pid="')[2].partition('"')[0]
    assert pid == str(site.process.pid)
    prefix, labels = "django_async_ext", f'pid="{pid}"'
    assert int(values[f'{prefix}_blocking_calls_total{{{labels},rule="stall"}}']) >= 1
    assert int(values[f"{prefix}_loop_stalls_total{{{labels}}}"]) >= 1
    assert float(values[f"{prefix}_loop_stall_seconds_total{{{labels}}}"]) >= 0.2
    count = values[f"{prefix}_loop_lag_seconds_count{{{labels}}}"]
    assert values[f'{prefix}_loop_lag_seconds_bucket{{{labels},le="+Inf"}}'] == count
