"""Django's endpoints are reported where a stock project blocks the loop with them."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest

from tests.programs import Redis, free_port, running

STOCK = Path(__file__).with_name("stock")
MODULES = ("queries", "backed")


def cases() -> Iterator[str]:
    """The marked functions; their modules can be imported in the child only."""
    for module in MODULES:
        for node in ast.walk(ast.parse((STOCK / f"{module}.py").read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                marks = [ast.unparse(mark) for mark in node.decorator_list]
                if any(mark.startswith(("blocks", "harmless")) for mark in marks):
                    yield node.name


NAMES = list(cases())
#: What Django gets in newer versions.
NEWER = {"awaitable_hashing", "enqueue", "enqueue_nowhere"}


@pytest.fixture(scope="module")
def redis_of_stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running(Redis(tmp_path_factory.mktemp("redis"))) as server:
        yield server


def run_stock(redis: Redis, home: Path, **environ: str) -> dict[str, Any]:
    """Run all cases in a process of its own."""
    environment = {
        **{n: v for n, v in os.environ.items() if not n.startswith(("COV_", "PYTEST"))},
        "DJANGO_SETTINGS_MODULE": "tests.detection.stock.settings",
        "STOCK_HOME": str(home),
        "STOCK_REDIS": redis.url,
        "STOCK_CLOSED_PORT": str(free_port()),
        **environ,
    }
    ran = subprocess.run(
        [sys.executable, "-m", "tests.detection.stock"],
        cwd=STOCK.parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.fixture(scope="module", params=["refused by Django", "let by Django"])
def recorded(
    request: pytest.FixtureRequest,
    redis_of_stock: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What was reported, in the mode "record"."""
    let = {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"} if "let" in request.param else {}
    return run_stock(redis_of_stock, tmp_path_factory.mktemp("home"), **let)


@pytest.fixture(scope="module")
def raised(
    redis_of_stock: Redis, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What was reported, in the mode "raise"."""
    home = tmp_path_factory.mktemp("home")
    return run_stock(redis_of_stock, home, STOCK_MODE="raise")


@pytest.mark.parametrize("name", NAMES)
def test_a_call_is_reported_once_and_only_on_a_loop(
    name: str, recorded: dict[str, Any]
) -> None:
    if name not in recorded:
        assert name in NEWER
        assert django.VERSION < (6, 0)
        return
    found, expected = recorded[name], recorded[name]["expected"]
    for elsewhere in ("thread", "plain"):
        assert not found.get(elsewhere, {}).get("reports")
    on_loop = found["loop"]["reports"]
    assert len(on_loop) == bool(expected["rule"]), on_loop
    for report in on_loop:
        assert report["rule"] == expected["rule"]
        assert report["what"].startswith(expected["what"])
        assert expected["remedy"] in report["remedy"]
        assert Path(report["file"]).parent == STOCK
        assert report["line"] == expected["line"] or expected["line"] is None
        # The block is left on the same line, where Django has let it be entered.
        assert report["count"] <= (2 if name == "atomic" else 1)


@pytest.mark.parametrize("name", NAMES)
def test_raising_is_preceded_by_a_report(name: str, raised: dict[str, Any]) -> None:
    if name not in raised:
        return
    found, expected = raised[name], raised[name]["expected"]
    assert len(found["loop"]["reports"]) == bool(expected["rule"])
    for elsewhere in ("thread", "plain"):
        assert not found.get(elsewhere, {}).get("reports")


#: Django takes the error for a session that is gone, for a field that is not there.
SWALLOWED = {"session_in_redis", "message_in_session"}


def test_raising_reaches_the_caller_unless_django_swallows_it(
    raised: dict[str, Any],
) -> None:
    swallowed = {
        name
        for name, found in raised.items()
        if found["expected"]["rule"] and found["loop"]["raised"] != "BlockingCallError"
    }
    assert swallowed == SWALLOWED
    (report,) = raised["session_in_redis"]["loop"]["reports"]
    assert report["what"] == "SessionBase.__getitem__"
