"""Holds the seams against every supported Django, and against a pre-release.

Contract: ``run_canary()`` looks at the package in an environment of each series
asked for, or with the pre-release of Django on the package index, if there is one
newer than all releases; it prints what is not as recorded and returns the exit
status.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from _environment import PYTHON_OF_LOWER_BOUNDS, Pair, find_pairs, make_environment
from tests.upstream.source import CACHE, CHECKOUT


def run_canary(
    series: Iterable[str], interpreter: str | None, *, pre: bool, record: bool
) -> int:
    """Look at every series; return 0 where all is as recorded."""
    if interpreter:
        pythons = [interpreter]
    elif not pre:
        pythons = list(_pythons(set(series)))
    elif version := _pre_release(pair := find_pairs()[-1]):
        pythons = [_with_pre_release(pair, version)]
    else:
        print(
            "The package index has no pre-release newer than all of Django's releases."
        )
        return 0
    argument = "--record" if record else "--check"
    command = ["-m", "tests.upstream.deriving", argument]
    statuses = [
        subprocess.run([python, *command], cwd=CHECKOUT, check=False).returncode
        for python in pythons
    ]
    return max(statuses, default=1)


def _pythons(series: set[str]) -> Iterator[str]:
    """Give an interpreter for each series, and one with all at its lower bound."""
    pairs = find_pairs()
    newest = {pair.django: pair for pair in pairs}.values()
    for pair in pairs:
        if pair.django in series:
            if pair in newest or pair.python == PYTHON_OF_LOWER_BOUNDS:
                yield str(make_environment(pair, "test"))


def _pre_release(pair: Pair) -> str | None:
    asked = [pair.executable, "-m", "pip", "--disable-pip-version-check", "index"]
    answer = subprocess.run(
        [*asked, "versions", "--pre", "Django"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return pre_release_in(answer.stdout)


def pre_release_in(answer: str) -> str | None:
    """Return the newest version of pip's ``answer``, if it is a pre-release."""
    newest = re.match(r"Django \((\S+)\)", answer, re.IGNORECASE)
    if newest is None:
        raise SystemExit(f"pip does not say which Django is the newest:\n{answer}")
    return newest[1] if re.search("(a|b|rc)[0-9]+$", newest[1]) else None


def _with_pre_release(pair: Pair, version: str) -> str:
    """Make an environment with a Django that the package does not support yet."""
    home = CACHE / f"venv-pre-python{pair.python}"
    python, pip = str(home / "bin" / "python"), ["-m", "pip", "-qq", "install"]
    if not Path(python).exists():
        subprocess.run([pair.executable, "-m", "venv", str(home)], check=True)
        own = f"{CHECKOUT}[test]"
        subprocess.run([python, *pip, "--editable", own], check=True)
    newest = ["--no-deps", f"Django=={version}"]
    subprocess.run([python, *pip, *newest], check=True)
    return python
