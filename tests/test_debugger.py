"""A debugger stops in synchronous code on the loop, steps over waits, and waits."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
import asyncio
from django_async_ext.bridge import await_, on_loop

def wait():
    await_(asyncio.sleep(0.001))
    return 5

def work():
    first = 1
    breakpoint()
    second = wait()
    third = first + second
    return third

async def other():
    for _ in range(3):
        await asyncio.sleep(0)

async def main():
    print("results", await asyncio.gather(on_loop(work)(), on_loop(wait)(), other()))

asyncio.run(main())
"""


def debug(tmp_path: Path, *commands: str) -> str:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    return subprocess.run(
        [sys.executable, str(program)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONBREAKPOINT": "pdb.set_trace"},
        input="\n".join([*commands, "c", ""]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    ).stdout


def test_next_stops_after_a_line_that_waited(tmp_path: Path) -> None:
    output = debug(tmp_path, "n", "n", "n", "p ('locals', first, second)")
    assert "third = first + second" in output
    assert "('locals', 1, 5)" in output
    assert "bridge.py" not in output
    assert "results [6, 5, None]" in output


def test_the_prompt_can_call_what_waits(tmp_path: Path) -> None:
    output = debug(tmp_path, "p ('waited', wait())")
    assert "('waited', 5)" in output
    assert "results [6, 5, None]" in output


def test_step_goes_into_what_waits(tmp_path: Path) -> None:
    # Before Python 3.13, breakpoint() stops at the line after it.
    before = ["n"] if sys.version_info >= (3, 13) else []
    output = debug(tmp_path, *before, "s", "n", "w")
    assert "-> await_(asyncio.sleep(0.001))" in output
    assert "-> second = wait()" in output
    assert "results [6, 5, None]" in output
