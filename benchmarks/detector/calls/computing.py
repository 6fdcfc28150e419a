"""Work that keeps the processor: nothing waits, and still the loop stands still.

Each works for some time of its own thread, whatever else the machine does.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import time
import zlib
from typing import TYPE_CHECKING

from benchmarks.detector.operations import blocking

if TYPE_CHECKING:
    from benchmarks.detector.world import World


@blocking("computing", stalls=True)
async def loop_of_python(w: World) -> None:
    end = time.thread_time() + w.while_
    while time.thread_time() < end:  # blocks
        pass  # blocks


@blocking("computing", stalls=True)
async def big_json(w: World) -> None:
    json.dumps(w.rows(100_000))  # blocks


@blocking("computing", stalls=True)
async def read_big_json(w: World) -> None:
    json.loads(w.big_json)  # blocks


@blocking("computing", stalls=True)
async def hash_(w: World) -> None:
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 400_000)  # blocks


@blocking("computing", stalls=True)
async def compress(w: World) -> None:
    zlib.compress(w.noise, 9)  # blocks


@blocking("computing", stalls=True)
async def bad_regular_expression(w: World) -> None:
    re.match(r"(a|aa)+$", "a" * 30 + "b")  # blocks


@blocking("computing", stalls=True)
async def sort(w: World) -> None:
    sorted(w.numbers, key=str)  # blocks


@blocking("computing", stalls=True)
async def pickle_objects(w: World) -> None:
    pickle.dumps(w.objects)  # blocks
