"""One process for each label, with time limits.

Contract: ``run_label()`` always returns a ``LabelRun``. A test that crashes
its process or exceeds its time is noted as such and the label is run again
without it, so that one hang does not hide the other tests.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.upstream.engines import ENGINES, Engine, same_baseline
from tests.upstream.outcomes import LabelRun, Outcome
from tests.upstream.source import CACHE, CHECKOUT, Environment

#: Other checkouts may use the same server, or the same cache.
_CHECKOUT_ID = f"{zlib.crc32(str(CHECKOUT).encode()) & 0xFFFF:x}"

INSIDE = Path(__file__).with_name("inside")

#: How often a label is run again after a test ended its process.
ATTEMPTS = 6
_ERROR = re.compile(r"[\w.]+(Error|Exception|Exit|Configured)\b")
_TEST_TIMEOUT = 70  # as in inside/django_suite_worker.py


@dataclass(frozen=True)
class Job:
    """What the runs of one call have in common."""

    environment: Environment
    engine: str
    database_url: str
    label_limit: float
    test_limit: float

    @property
    def name(self) -> str:
        """Tell this job's results from those of another, or of another server."""
        return self._name_with(self.engine)

    @property
    def name_of_baseline(self) -> str:
        """Tell the results with Django's engine, alike for several of ours."""
        return self._name_with(same_baseline(self.engine))

    def _name_with(self, engine: str) -> str:
        database, server = self.versions["database"], self.versions["server"]
        return f"{self.environment.name}-{engine}-{database}-{server}"

    @property
    def row(self) -> Engine:
        """What the table of engines says."""
        return ENGINES[self.engine]

    @cached_property
    def versions(self) -> dict[str, str]:
        """What the runs run with."""
        return self.ask_versions()

    def ask_versions(self) -> dict[str, str]:
        """Ask an interpreter of the environment; end the run if no server answers."""
        script = str(INSIDE / "django_suite_versions.py")
        answer = subprocess.run(
            [self.environment.python, script],
            env=_variables(self, "baseline", "versions"),
            check=False,
            stdout=subprocess.PIPE,
        )
        if answer.returncode:
            raise SystemExit("The database does not answer, or not any more.")
        versions: dict[str, str] = json.loads(answer.stdout)
        return versions


def run_label(job: Job, mode: str, label: str) -> LabelRun:
    """Run ``label`` in ``mode`` and return what became of its tests."""
    run = LabelRun(label)
    started = time.monotonic()
    left_out: list[str] = []
    for _ in range(ATTEMPTS):
        log = _log(job, mode, label, len(left_out))
        status, events = _attempt(job, mode, label, left_out, log)
        run.broken = _note(run, events, status, log)
        ended_by = _unfinished(events)
        if not run.broken or ended_by is None:
            break
        left_out.append(ended_by)
    run.seconds = round(time.monotonic() - started, 1)
    return run


def _attempt(
    job: Job, mode: str, label: str, left_out: list[str], log: Path
) -> tuple[int | None, list[dict[str, str]]]:
    with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
        records = Path(folder, "records")
        command = [job.environment.python, str(INSIDE / "django_suite_worker.py")]
        process = subprocess.Popen(
            [*command, mode, label, str(records), *left_out],
            cwd=job.environment.tests,
            env=_variables(job, mode, label),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status = _ended(process, job.label_limit)
        lines = records.read_text().splitlines() if records.exists() else []
    return status, [json.loads(line) for line in lines]


def _ended(process: subprocess.Popen[bytes], limit: float) -> int | None:
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        # Also what the tests started and left behind.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def _variables(job: Job, mode: str, label: str) -> dict[str, str]:
    engine, options = job.row.ours, dict(job.row.options)
    if mode == "baseline":
        engine, options = job.row.django, {}
    name = f"{_CHECKOUT_ID}_{job.environment.django}_{mode}_{label}"
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "django_suite_settings",
        "DJANGO_SUITE_ENGINE": engine,
        "DJANGO_SUITE_OPTIONS": json.dumps(options),
        "DJANGO_SUITE_AS_MYSQLDB": job.row.as_mysqldb if mode == "baseline" else "",
        "DJANGO_SUITE_RUN": re.sub(r"\W", "_", name.lower())[:45],
        "DJANGO_SUITE_TEST_LIMIT": str(job.test_limit),
        "DATABASE_URL": job.database_url,
        "PYTHONPATH": os.pathsep.join(
            [str(job.environment.tests), str(INSIDE), str(_package_folder())]
        ),
    }


def _package_folder() -> Path:
    """Return a folder with the package alone.

    With the checkout itself on the path, its other folders would shadow names
    that Django's tests create, such as "testproject".
    """
    folder = CACHE / f"path-{_CHECKOUT_ID}"
    link = folder / "django_async_ext"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(CHECKOUT / "django_async_ext")
    except FileExistsError:
        pass
    return folder


def _log(job: Job, mode: str, label: str, attempt: int) -> Path:
    folder = CACHE / "logs" / f"{job.name}-{mode}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / (f"{label}-{attempt + 1}.log" if attempt else f"{label}.log")


def _note(
    run: LabelRun, events: list[dict[str, str]], status: int | None, log: Path
) -> str:
    for event in events:
        if event["event"] == "outcome":
            run.add(event["test"], Outcome(event["outcome"], event["detail"]))
        elif event["event"] == "blocking wait":
            run.blocking.append((event["test"], event["detail"]))
        elif event["event"] == "coroutine":
            run.coroutines.append(event["test"])
            if event["detail"] != "on the loop":
                run.off_loop.append(event["test"])
    if events and events[-1]["event"] == "finished":
        return ""
    slow = status is None or status == _TEST_TIMEOUT
    ended_by = _unfinished(events)
    tail = log.read_text(errors="replace").splitlines()[-60:]
    if ended_by:
        run.add(ended_by, Outcome("timeout" if slow else "crash", "\n".join(tail)))
    cause = next((line for line in reversed(tail) if _ERROR.match(line)), "")
    return f"{'timeout' if slow else f'exit status {status}'}: {cause} (see {log})"


def _unfinished(events: list[dict[str, str]]) -> str | None:
    last = next((e for e in reversed(events) if e["event"] in ("start", "stop")), None)
    return last["test"] if last and last["event"] == "start" else None
