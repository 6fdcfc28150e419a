"""A stock project's tests pass on Django's engine, and unchanged on ours."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from zlib import crc32

import pytest
from django.conf import settings

PROJECT = Path(__file__).with_name("users_project")
ROOT = PROJECT.parent.parent

COMMAND = ("manage.py", "test", "--noinput")
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider")
#: By its name: the runner, what gives it workers, and what else it needs.
RUNNERS = {
    "manage.py test": (COMMAND, ()),
    "manage.py test --parallel": (COMMAND, ("--parallel=2",)),
    "pytest": (PYTEST, ("--create-db",)),
    "pytest -n 2": (PYTEST, ("--create-db", "-n", "2")),
}


def run(
    database: str, settings_module: str, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings_module, **environ}
    # The run that asks may be measured, or one of several workers itself.
    for name in [n for n in environment if n.startswith(("COV_", "PYTEST_"))]:
        del environment[name]
    environment["PYTHONPATH"] = os.pathsep.join([str(PROJECT), str(ROOT)])
    own = environ.get("DB_NAME") or f"{settings_module} {arguments}"
    own += settings.DATABASES["default"]["NAME"]
    environment["DB_SUFFIX"] = f"_{crc32(own.encode()):08x}"
    if database == "sqlite":
        del environment["DATABASE_URL"]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )


def counts(output: str) -> list[str]:
    """What a runner says it ran: the number of tests, or those passed and skipped."""
    return re.findall(r"Ran \d+ tests|\d+ passed|\d+ skipped", output)


@cache
def counts_of_stock(database: str, runner: Sequence[str]) -> list[str]:
    ran = run(database, "project.settings", *runner)
    assert ran.returncode == 0, ran.stdout
    return counts(ran.stdout)


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
@pytest.mark.parametrize("name", RUNNERS)
def test_its_tests_pass_on_either_engine(name: str, database: str) -> None:
    runner, options = RUNNERS[name]
    ours = run(database, "project.settings_ours", *runner, *options)
    assert ours.returncode == 0, ours.stdout
    assert counts(ours.stdout) == counts_of_stock(database, runner) != []


def test_its_tests_pass_on_a_database_that_is_reused() -> None:
    # What the migrations insert is there only the first time, on any engine.
    chosen = [*PYTEST, "-k", "not Serialized"]
    for options in (["--reuse-db"], ["--reuse-db"], []):
        environ = {"DB_NAME": "reused"}
        ran = run("postgresql", "project.settings_ours", *chosen, *options, **environ)
        assert ran.returncode == 0, ran.stdout
        assert counts(ran.stdout)[0].startswith("93 ")


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_its_tests_pass_however_processes_start(method: str, database: str) -> None:
    start = f"import multiprocessing as m; m.set_start_method({method!r}, force=True)"
    command = "import runpy, sys; sys.argv = sys.argv[1:]; " + start
    command += "; runpy.run_path(sys.argv[0], run_name='__main__')"
    ran = run(
        database,
        "project.settings_ours",
        *("-c", command, "manage.py", "test", "--noinput", "--parallel=2"),
    )
    assert ran.returncode == 0, ran.stdout
    assert counts(ran.stdout)


def test_only_engine_and_installed_apps_differ() -> None:
    stock, ours = (
        run(
            "postgresql", module, "manage.py", "diffsettings", DB_NAME="same"
        ).stdout.splitlines()
        for module in ("project.settings", "project.settings_ours")
    )
    names = {line.split(" =")[0] for line in {*stock} ^ {*ours}}
    assert names == {"DATABASES", "INSTALLED_APPS", "SETTINGS_MODULE"}
    (databases,) = (line for line in ours if line.startswith("DATABASES"))
    as_stock = databases.replace("'django_async_ext.db", "'django.db")
    assert as_stock in stock
