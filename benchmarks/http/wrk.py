"""The load generator: wrk, which asks again as soon as it is answered."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.http.server import pin

if TYPE_CHECKING:
    from benchmarks.http.cases import Case

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What came back; an error is a lost connection or a status above 399."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int


def find() -> str:
    """Where wrk is."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit(
            "scripts/bench --http needs wrk, which is not on PATH. Install it (Debian "
            "and Ubuntu: apt install wrk), or build https://github.com/wg/wrk."
        )
    return found


def load(case: Case, port: int, seconds: int, core: int | None) -> Load:
    """Send what `case` says for whole seconds, as many as it has clients at once."""
    command = [find(), "--threads=1", f"--connections={case.clients}"]
    command += [f"--duration={seconds}s", "--timeout=20s", f"--script={SCRIPT}"]
    if case.cookie:
        command += [f"--header=Cookie: {case.cookie}"]
    url = f"http://127.0.0.1:{port}{case.path}"
    process = subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True)
    pin(process.pid, core)
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"wrk ended with status {process.returncode}:\n{output}")
    return Load(**json.loads(output.splitlines()[-1]))
