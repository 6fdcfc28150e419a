"""Sleep, processes, locks, queues and threads of Python's library."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC222, ASYNC251

from __future__ import annotations

import asyncio
import concurrent.futures
import fcntl
import os
import queue
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from benchmarks.detector.operations import blocking

if TYPE_CHECKING:
    from benchmarks.detector.world import World


@blocking("sleep")
async def short_sleep(w: World) -> None:
    time.sleep(0.002)  # blocks


@blocking("sleep", stalls=True)
async def sleep(w: World) -> None:
    time.sleep(w.while_)  # blocks


@blocking("sleep", stalls=True)
async def sleep_after_waiting(w: World) -> None:
    await asyncio.sleep(0.01)
    time.sleep(w.while_)  # blocks
    await asyncio.sleep(0.01)


@blocking("sleep", stalls=True)
async def sleep_in_a_task(w: World) -> None:
    async def child() -> None:
        time.sleep(w.while_)  # blocks

    await asyncio.create_task(child())


@blocking("sleep", stalls=True)
async def sleep_in_a_callback(w: World) -> None:
    done = asyncio.Event()

    def callback() -> None:
        time.sleep(w.while_)  # blocks
        done.set()

    asyncio.get_running_loop().call_soon(callback)
    await done.wait()


@blocking("subprocess")
async def run(w: World) -> None:
    subprocess.run(w.true)  # blocks


@blocking("subprocess")
async def check_output(w: World) -> None:
    subprocess.check_output(w.true)  # blocks


@blocking("subprocess")
async def popen(w: World) -> None:
    w.keep(subprocess.Popen(w.true))  # blocks


@blocking("subprocess", stalls=True)
async def wait_for_process(w: World) -> None:
    process = w.process()
    process.wait()  # blocks


@blocking("subprocess", stalls=True)
async def communicate(w: World) -> None:
    process = w.process()
    process.communicate()  # blocks


@blocking("subprocess", stalls=True)
async def waitpid(w: World) -> None:
    process = w.process()
    os.waitpid(process.pid, 0)  # blocks


@blocking("subprocess", stalls=True)
async def system(w: World) -> None:
    os.system(f"sleep {w.while_}")  # blocks


@blocking("locks", stalls=True)
async def held_lock(w: World) -> None:
    w.lock.acquire()  # blocks


@blocking("locks", stalls=True)
async def with_held_lock(w: World) -> None:
    with w.lock:  # blocks
        pass


@blocking("locks", stalls=True)
async def held_rlock(w: World) -> None:
    w.rlock.acquire()  # blocks


@blocking("locks", stalls=True)
async def wait_for_event(w: World) -> None:
    event = threading.Event()
    w.soon(event.set)
    event.wait()  # blocks


@blocking("locks", stalls=True)
async def wait_for_condition(w: World) -> None:
    condition = threading.Condition()
    with condition:
        condition.wait(w.while_)  # blocks


@blocking("locks", stalls=True)
async def semaphore(w: World) -> None:
    threading.Semaphore(0).acquire(timeout=w.while_)  # blocks


@blocking("locks", stalls=True)
async def get_of_queue(w: World) -> None:
    waiting: queue.Queue[int] = queue.Queue()
    w.soon(lambda: waiting.put(1))
    waiting.get()  # blocks


@blocking("locks", stalls=True)
async def get_of_simple_queue(w: World) -> None:
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    w.soon(lambda: waiting.put(1))
    waiting.get()  # blocks


@blocking("locks", stalls=True)
async def lock_of_file(w: World) -> None:
    fcntl.flock(w.locked, fcntl.LOCK_EX)  # blocks


@blocking("threads", stalls=True)
async def join_thread(w: World) -> None:
    thread = w.soon(lambda: None)
    thread.join()  # blocks


@blocking("threads", stalls=True)
async def result_of_future(w: World) -> None:
    future = w.pool.submit(time.sleep, w.while_)
    future.result()  # blocks


@blocking("threads", stalls=True)
async def wait_for_futures(w: World) -> None:
    futures = [w.pool.submit(time.sleep, w.while_)]
    concurrent.futures.wait(futures)  # blocks


@blocking("threads", stalls=True)
async def map_of_pool(w: World) -> None:
    results = w.pool.map(time.sleep, [w.while_])
    list(results)  # blocks


@blocking("threads", stalls=True)
async def end_of_pool(w: World) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # blocks
        pool.submit(time.sleep, w.while_)


@blocking("threads", stalls=True)
async def coroutine_from_its_own_loop(w: World) -> None:
    loop = asyncio.get_running_loop()
    future = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
    concurrent.futures.wait([future], w.while_)  # blocks
