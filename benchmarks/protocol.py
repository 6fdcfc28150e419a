"""What the runner and a mode's process say to each other, in lines of JSON.

One object per line, over the child's stdin and stdout. The child greets with ``Hello``
(or with the reason why its mode cannot run), then answers each ``Job`` with one
``Result``. It ends when its stdin does.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(frozen=True, slots=True)
class Config:
    """What a mode must know to connect: the same for every mode of a run."""

    url: str
    pool: int = 20
    per_request: int = 10
    loop: str = "asyncio"


@dataclass(frozen=True, slots=True)
class Hello:
    """A child's first line: its mode's cases and versions, or why it cannot run."""

    cases: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    unavailable: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement: a case, by so many workers at once, for so long.

    The warm-up comes before and is not counted; `profile` names a file, or nothing."""

    case: str
    concurrency: int
    seconds: float
    warmup: float
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What one job came to.

    CPU is user and system time of the whole client process, threads included."""

    operations: int = 0
    seconds: float = 0.0
    cpu_us: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    peak_mib: float = 0.0
    error: str = ""


Message = TypeVar("Message", Config, Hello, Job, Result)


def encode(message: Config | Hello | Job | Result) -> str:
    return json.dumps(dataclasses.asdict(message))


def decode(kind: type[Message], line: str) -> Message:
    return kind(**json.loads(line))
