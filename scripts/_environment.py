"""Finds Pythons and makes the virtual environments that the scripts run in.

An environment lives in ``.venv/<extra>-py<X.Y>-django<X.Y>`` and is installed
again only when pyproject.toml or its Python changed. This module runs before
anything is installed: standard library only.
"""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from subprocess import STDOUT
from tempfile import TemporaryFile
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv"

# Python -> the Django versions that are tested on it, both oldest first.
SUPPORTED = {
    "3.11": ["5.2"],
    "3.12": ["5.2", "6.0", "6.1"],
    "3.13": ["5.2", "6.0", "6.1"],
    "3.14": ["5.2", "6.0", "6.1"],
}
# On this Python every dependency is installed at its lower bound.
PYTHON_OF_LOWER_BOUNDS = "3.11"
DRIVERS = ("postgresql", "mysql", "memcached", "redis")  # extras of the package

GRACE = 10  # seconds that a child has to end after Ctrl-C or SIGTERM


class Pair(NamedTuple):
    """A Python found on this machine, and a Django to run on it."""

    python: str
    django: str
    executable: str

    def __str__(self) -> str:
        return f"Python {self.python}, Django {self.django}"


def find_pairs() -> list[Pair]:
    """Every supported pair that this machine can run, oldest first."""
    pairs = [
        Pair(python, django, executable)
        for python, djangos in SUPPORTED.items()
        if (executable := _find_python(python))
        for django in djangos
    ]
    if not pairs:
        sys.exit(
            f"No usable Python found. Install one of {', '.join(SUPPORTED)} with its "
            f"venv module (Debian and Ubuntu: apt install python3-venv)."
        )
    return pairs


def _find_python(version: str) -> str | None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = pyenv.glob(f"versions/{version}.*/bin/python")
    candidates = [
        sys.executable,
        shutil.which(f"python{version}"),
        *sorted(map(str, installed), key=_natural, reverse=True),
    ]
    return next((c for c in candidates if c and _works(c, version)), None)


def _natural(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)]


def _works(executable: str, version: str) -> bool:
    """Whether it runs, is that version, and can make environments.

    A pyenv shim may exist for a version that is not installed; Debian ships
    Python without ensurepip.
    """
    script = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
    with suppress(OSError):
        done = subprocess.run(
            [executable, "-c", script], capture_output=True, text=True
        )
        return done.stdout.strip() == version
    return False


def make_environment(pair: Pair, extra: str) -> Path:
    """Install the project with one of its extras; return the environment's Python."""
    home = ENVIRONMENTS / f"{extra}-py{pair.python}-django{pair.django}"
    python = home / "bin" / "python"
    stamp = home / "installed.txt"
    wanted = _fingerprint(pair)
    with locked(home):
        if not stamp.exists() or stamp.read_text() != wanted:
            print(
                f"Setting up {home.relative_to(ROOT)} ...", file=sys.stderr, flush=True
            )
            subprocess.run([pair.executable, "-m", "venv", home], check=True)
            _install(python, pair, extra)
            stamp.write_text(wanted)
    return python


def _fingerprint(pair: Pair) -> str:
    version = subprocess.check_output([pair.executable, "-VV"], text=True)
    project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return version + project


def _install(python: Path, pair: Pair, extra: str) -> None:
    bounds = python.parent.parent / "constraints.txt"
    lowest = pair.python == PYTHON_OF_LOWER_BOUNDS
    bounds.write_text("\n".join(_lower_bounds()) if lowest else "")
    requirements = [f"--editable={ROOT}[{extra}]", f"Django=={pair.django}.*"]
    pip = [python, "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    subprocess.run([*pip, "--constraint", bounds, *requirements], check=True)


def _lower_bounds() -> Iterator[str]:
    """The package's own requirements, each at the oldest version it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    drivers = [extras[name] for name in DRIVERS]
    for requirement in chain(project["dependencies"], *drivers):
        lowest = re.sub(r"\[.*\]", "", requirement).split(",")[0]
        yield lowest.replace(">=", "==")


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Only one process at a time installs into the environment at ``home``."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{home.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command: Sequence[object], env: Mapping[str, str], cwd: Path = ROOT) -> int:
    """Run a command to its end and return its status; it never outlives this call."""
    print("$", *command, file=sys.stderr, flush=True)
    process = subprocess.Popen([str(part) for part in command], env=env, cwd=cwd)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal told the child as well: let it finish by itself.
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        raise
    finally:
        _end(process)


def run_side_by_side(commands: Sequence[Sequence[str]], jobs: int) -> list[int]:
    """Run commands, ``jobs`` at a time, each printed in one piece at its end."""
    processes: list[subprocess.Popen[bytes]] = []

    def run_quietly(command: Sequence[str]) -> int:
        print("$", *command, file=sys.stderr, flush=True)
        with TemporaryFile() as output:
            process = subprocess.Popen(command, stdout=output, stderr=STDOUT)
            processes.append(process)
            status = process.wait()
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
            sys.stdout.flush()
        return status

    with ThreadPoolExecutor(jobs) as threads:
        try:
            return list(threads.map(run_quietly, commands))
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                # Its own children have as long to end.
                _end(process, 2 * GRACE)


def _end(process: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def stop_on_signals() -> None:
    """Make SIGTERM and a closed terminal run ``finally`` blocks, as Ctrl-C does.

    A shell starts background jobs with Ctrl-C ignored; that is undone here.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
