"""What to write instead, and what is called where there is no frame."""

import hashlib
import json
import re
import sys
import time
from collections.abc import Callable
from time import sleep as doze
from typing import Any

import pytest

from django_async_ext.detection.watchdog import advice, causes
from django_async_ext.detection.watchdog.advice import called_by, remedy
from django_async_ext.detection.watchdog.sampling import Instruction

PATTERN = re.compile("a")
HERE: list[Instruction] = []


class Told:
    """Notes which instruction calls it."""

    def __call__(self, *args: object) -> None:
        frame = sys._getframe(1)
        HERE[:] = [Instruction(frame.f_code, frame.f_lasti, frame.f_globals)]

    method = __call__


class Asking:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError("this may have any effect")


tell = Told()
asking = Asking()


def instruction(names: dict[str, Any]) -> Instruction:
    """The last instruction that called ``tell``, with other names for it."""
    (here,) = HERE
    return here._replace(names=here.names | names)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (time.sleep, "time.sleep"),
        (doze, "time.sleep"),
        (json.dumps, "json.dumps"),
        (hashlib.pbkdf2_hmac, "_hashlib.pbkdf2_hmac"),
        (sorted, "builtins.sorted"),
    ],
)
def test_a_function_is_known_by_the_name_that_it_was_defined_with(
    function: Callable[..., Any], name: str
) -> None:
    tell(1, 2)
    assert called_by(instruction({"tell": function})) == name


def test_a_method_is_known_by_its_type() -> None:
    tell.method("a")
    assert called_by(instruction({"tell": PATTERN})) == "re.Pattern.method"


def test_a_call_over_several_lines_is_known() -> None:
    tell(
        1,
        "ä",
    )
    assert called_by(instruction({"tell": time.sleep})) == "time.sleep"


def test_nothing_of_the_projects_is_run_to_find_out() -> None:
    tell.method()
    name = called_by(instruction({"tell": asking}))
    assert name == f"{__name__}.Asking.method"


def test_a_local_name_is_taken_as_it_is_written() -> None:
    local = tell
    local.method()
    assert called_by(instruction({})) == "local.method"


def test_what_is_no_call_has_no_name() -> None:
    def compare() -> bool:
        return 1 in [2]

    offset = next(n for n, p in enumerate(compare.__code__.co_positions()) if p[2])
    for at in (offset, 10_000):
        assert called_by(Instruction(compare.__code__, 2 * at, {})) == ""
    nowhere = compile("f()", "<nowhere>", "exec")
    assert called_by(Instruction(nowhere, 4, {})) == ""


@pytest.mark.parametrize(
    ("called", "words"),
    [
        (["time.sleep"], "asyncio.sleep"),
        (["requests.api.get", "socket.socket.recv"], "httpx.AsyncClient"),
        (["django.contrib.auth.hashers.check_password"], "acheck_password"),
        (["_hashlib.pbkdf2_hmac"], "asyncio.to_thread"),
        (["json.dumps", "json.encoder.JSONEncoder.encode"], "process pool"),
        (["re.Pattern.match"], "pattern"),
        (["shop.unknown", "subprocess.run"], "create_subprocess"),
        (["shop.unknown"], "a library for asyncio"),
        ([], "a library for asyncio"),
    ],
)
def test_the_first_known_function_gives_the_remedy(
    called: list[str], words: str
) -> None:
    assert words in remedy(causes.BLOCKED, called)


@pytest.mark.parametrize("why", causes.CAUSES)
def test_every_cause_has_a_remedy_and_an_explanation(why: str) -> None:
    assert remedy(why, ())
    assert causes.ABOUT[why]


def test_what_the_loop_did_is_not_to_blame_for_a_starved_machine() -> None:
    assert remedy(causes.STARVED, ["time.sleep"]) == advice.remedy(causes.STARVED, ())
