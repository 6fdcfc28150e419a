"""The plugin, in projects of its own that pytest runs in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]

# Where the package is installed, pytest finds the plugin itself.
INSTALLED = entry_points(group="pytest11", name="django_async_ext")
PLUGIN = [] if INSTALLED else ["-p", "django_async_ext.test.plugin"]

SETTINGS = """
from tests.settings import *
DATABASES = {{alias: dict(DATABASES[alias]) for alias in ("default", "sqlite")}}
DATABASES["default"]["TEST"] = {{"NAME": {name!r}}}
DATABASES["default"]["ENGINE"] = {engine!r}
"""
OURS = "django_async_ext.db.backends.postgresql"

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a module of tests; return what pytest printed."""
    name = f"{settings.DATABASES['default']['NAME']}_plugin"
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )

    def run(
        source: str,
        *options: str,
        through: tuple[str, ...] = (),
        engine: str = OURS,
        django: tuple[str, ...] = ("--ds=plugin_settings", "--reuse-db"),
    ) -> str:
        (tmp_path / "plugin_settings.py").write_text(
            SETTINGS.format(name=name, engine=engine)
        )
        (tmp_path / "test_it.py").write_text(source)
        return run_pytest(tmp_path, *options, *django, through=through)

    return run


def run_pytest(folder: Path, *options: str, through: tuple[str, ...] = ()) -> str:
    """Run pytest on ``folder``, with the plugin; return what it printed."""
    plugin = [*PLUGIN, f"--confcutdir={folder}", f"--rootdir={folder}"]
    command = [sys.executable, *through, "-m", "pytest", "-v", *plugin, *options]
    return subprocess.run(
        [*command, str(folder)],
        cwd=folder,
        env={**_environment(), "PYTHONPATH": f"{folder}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    ).stdout


def _environment() -> dict[str, str]:
    not_for_it = ("COV_", "PYTEST_", "DJANGO_")
    return {k: v for k, v in os.environ.items() if not k.startswith(not_for_it)}


FIXTURES = """
import asyncio, pytest
from django.db import connection
from tests.library.models import Author, Tag

@pytest.fixture
async def author(async_db):
    return await Author.objects.acreate(name="Ada")

async def test_async_fixtures_share_the_transaction_first(author):
    await Author.objects.acreate(name="Grace")
    assert await Author.objects.acount() == 2

async def test_async_fixtures_share_the_transaction_second(author):
    assert [a.name async for a in Author.objects.all()] == ["Ada"]
    assert await asyncio.to_thread(Author.objects.get) == author

def test_sync_tests_see_async_fixtures(author):
    assert Author.objects.get() == author

async def test_queries_are_counted(author, async_assert_num_queries):
    async with async_assert_num_queries(2):
        await author.arefresh_from_db()
        await asyncio.create_task(Author.objects.acount())

@pytest.mark.django_db(transaction=True)
async def test_queries_are_counted_in_transactions(async_assert_num_queries):
    async with async_assert_num_queries(2) as captured:
        await Author.objects.acount()
        await asyncio.create_task(Author.objects.acount())
    assert "COUNT" in captured.captured_queries[0]["sql"]

async def test_requests_are_handled_on_the_loop(author, loop_client, async_client):
    assert (await loop_client.get("/")).status_code == 404
    assert (await async_client.get("/")).status_code == 404
"""


def test_fixtures_share_the_transaction_of_a_test(run: Run) -> None:
    output = run(FIXTURES)
    assert "6 passed" in output, output
    assert "warning" not in output


def test_a_wrong_number_of_queries_lists_them(run: Run) -> None:
    output = run(
        "from tests.library.models import Author\n"
        "async def test_it(async_db, async_assert_num_queries):\n"
        "    async with async_assert_num_queries(2):\n"
        "        await Author.objects.acount()\n"
    )
    assert "Failed: 2 queries expected, 1 made:" in output, output
    assert "SELECT COUNT(*)" in output


LEAVING = """
import asyncio, pytest
from django_async_ext import aatomic
from tests.library.models import Author

pytestmark = pytest.mark.django_db(transaction=True)

@pytest.fixture
async def server():
    asked, answers = asyncio.Queue(), []
    async def serve():
        while True:
            await asked.get()
            answers.append(asyncio.create_task(asyncio.Event().wait()))
            served.set()
    served = asyncio.Event()
    task = asyncio.create_task(serve())
    yield asked, served
    for one in [task, *answers]:
        one.cancel()

async def forget():
    await asyncio.Event().wait()

async def test_leaves_a_task():
    test_leaves_a_task.kept = asyncio.create_task(forget(), name="forgotten")
    await asyncio.sleep(0)

async def test_leaves_a_transaction():
    inside = asyncio.Event()
    async def hold():
        async with aatomic():
            await Author.objects.acreate(name="held")
            inside.set()
            await asyncio.Event().wait()
    test_leaves_a_transaction.kept = asyncio.create_task(hold(), name="holder")
    await inside.wait()

async def test_is_tidy():
    assert await Author.objects.acount() == 0
    async with asyncio.TaskGroup() as group:
        group.create_task(Author.objects.acreate(name="Ada"))

@pytest.mark.django_db(transaction=False)
async def test_leaves_a_block():
    await aatomic().__aenter__()

async def test_a_fixture_may_have_tasks(server):
    asked, served = server
    await asked.put(1)
    await served.wait()
"""


def test_tests_that_leave_something_behind_are_named(run: Run) -> None:
    output = run(LEAVING)
    assert "5 passed" in output, output
    said = " ".join(output.split())
    for words in (
        "test_leaves_a_task left behind: task 'forgotten' at ",
        "test_leaves_a_transaction left behind: task 'holder' at ",
        "in hold, which is in a transaction on database 'default'.",
        "test_leaves_a_block left behind: an atomic block that is open on database "
        "'default'.",
    ):
        assert words in said, output
    assert "test_is_tidy left" not in output
    if sys.version_info >= (3, 12):
        assert "may_have_tasks left" not in output


def test_another_engine_is_refused_in_words(run: Run) -> None:
    source = "async def test_it(async_db): pass"
    output = run(source, engine="django.db.backends.postgresql")
    said = " ".join(output.split())
    assert (
        "The fixture async_db was asked for database 'default', whose ENGINE "
        "'django.db.backends.postgresql' does not share the transaction of the test "
        "with asynchronous queries. Set the engine of the same name" in said
    ), output


def test_a_project_without_django_is_left_alone(run: Run) -> None:
    output = run(
        "import sys\n"
        "def test_it():\n"
        "    assert 'django_async_ext.test.plugin' in sys.modules\n"
        "    assert 'django_async_ext.db' not in sys.modules\n"
        "    assert 'django_async_ext.test.leaks' not in sys.modules\n",
        django=(),
    )
    assert "1 passed" in output, output


def test_nothing_is_needed_but_pytest(run: Run) -> None:
    source = "def test_it(): pass\nasync def test_async(): pass\n"
    options = ("-p", "no:django", "-p", "no:asyncio", "-o", "addopts=")
    output = run(source, *options, django=())
    assert "1 passed" in output, output
    assert "PytestUnknownMark" not in output


def measure(folder: Path, concurrency: str) -> tuple[str, ...]:
    # It removes its data file first: never name a device, which root may remove.
    data = f"--data-file={folder / 'coverage'}"
    return ("-m", "coverage", "run", "--rcfile=", data, f"--concurrency={concurrency}")


COVERED = """
from tests.library.models import Author

async def test_it(async_db):
    assert await Author.objects.acount() == 0
"""


def test_coverage_that_will_be_wrong_is_named(run: Run, tmp_path: Path) -> None:
    output = run(COVERED, through=measure(tmp_path, "thread"))
    said = " ".join(output.split())
    words = "Coverage is measured without `concurrency = greenlet`: synchronous code"
    assert "1 passed" in output, output
    assert said.count(words) == 2 or sys.version_info >= (3, 14), output


def test_coverage_that_is_right_is_not_named(run: Run, tmp_path: Path) -> None:
    output = run(COVERED, through=measure(tmp_path, "greenlet,thread"))
    assert "1 passed" in output, output
    assert "Coverage is measured" not in output


LOOPS = """
import asyncio, pytest
from django.db import connection
from django_async_ext import on_loop
from tests.library.models import Author

pytestmark = [pytest.mark.asyncio(loop_scope="module"),
              pytest.mark.django_db(transaction=True)]
seen = []

def session():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]

async def test_first():
    seen.append((asyncio.get_running_loop(), await on_loop(session)()))

async def test_second():
    assert seen == [(asyncio.get_running_loop(), await on_loop(session)())]

@pytest.mark.asyncio(loop_scope="function")
async def test_third():
    assert seen[0][0] is not asyncio.get_running_loop()
    assert seen[0][1] != await on_loop(session)()
"""


def test_a_module_may_have_one_loop_and_one_pool(run: Run) -> None:
    output = run(LOOPS, django=("--ds=plugin_settings", "--create-db"))
    assert "3 passed" in output, output
    # Its pool is closed when the database is dropped.
    assert "being accessed" not in output
