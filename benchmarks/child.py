"""The runner's end of a mode's process: start it, give it jobs, watch it, end it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from benchmarks import protocol
from benchmarks.machine import Others
from benchmarks.protocol import Config, Hello, Job, Result

if TYPE_CHECKING:
    from benchmarks.database import Inspector

LOOK_EVERY = 0.05


@dataclass(slots=True)
class Watch:
    """What a job looks like from outside, which costs the child nothing.

    The most threads and server connections, and the processors that others used.
    """

    pid: int
    inspector: Inspector
    threads: int = 0
    connections: int = 0
    others: float = 0.0

    def look(self) -> None:
        tasks = Path(f"/proc/{self.pid}/task")
        if tasks.exists():
            self.threads = max(self.threads, sum(1 for _ in tasks.iterdir()))
        self.connections = max(self.connections, self.inspector.connections())

    def until(self, done: threading.Event) -> None:
        others = Others([self.pid], self.inspector.servers)
        while not done.wait(LOOK_EVERY):
            self.look()
        self.others = others.share()


class Child:
    """One mode's process."""

    def __init__(self, mode: str, config: Config, inspector: Inspector) -> None:
        self.mode = mode
        self.inspector = inspector
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", mode, protocol.encode(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        self.hello = protocol.decode(
            Hello, self._line() or '{"unavailable": "its process ended"}'
        )

    def run(self, job: Job, patience: float) -> tuple[Result, Watch]:
        """One job; a child that takes longer than `patience` seconds is ended."""
        watch, done = Watch(self.process.pid, self.inspector), threading.Event()
        watcher = threading.Thread(target=watch.until, args=(done,))
        timer = threading.Timer(patience, self.process.kill)
        watcher.start()
        timer.start()
        try:
            self._stream(self.process.stdin).write(protocol.encode(job) + "\n")
            answer = self._line()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
            done.set()
            watcher.join()
        if not answer:
            error = f"the process ended (or took more than {patience:.0f} seconds)"
            return Result(error=error), watch
        return protocol.decode(Result, answer), watch

    def end(self) -> None:
        with suppress(BrokenPipeError):
            # It may have been ended over a job that is still to be written.
            self._stream(self.process.stdin).close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _line(self) -> str:
        return self._stream(self.process.stdout).readline()

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream
