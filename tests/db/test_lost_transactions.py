"""What became of a transaction is known, or it is said that it is not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    InternalError,
    connection,
    connections,
    transaction,
)

from django_async_ext import aatomic, aon_commit, on_loop
from django_async_ext.db.connections import pool_stats
from django_async_ext.exceptions import UnknownOutcomeError
from tests.db.server import Server, execute, through_proxy
from tests.library.models import Account, Author, Book

DOCS = "https://django-async-ext.readthedocs.io/en/latest/reference/errors.html"


# Renamed in Django 6.1.
create = getattr(transaction, "savepoint_create", None) or transaction.savepoint


async def fails() -> None:
    """Raise the database's own error, in the block that is open."""
    await Account.objects.acreate(pk=1)


@pytest.fixture
async def taken() -> None:
    await Account.objects.acreate(pk=1)


@pytest.fixture
def hooks() -> list[str]:
    return []


async def accounts() -> int:
    return await Account.objects.acount()


# Errors that are caught in the block


@pytest.mark.usefixtures("taken")
async def test_a_block_that_ends_cleanly_but_is_rolled_back_is_reported_with_its_line(
    caplog: pytest.LogCaptureFixture, hooks: list[str]
) -> None:
    async def pay() -> None:
        async with aatomic():  # here
            await aon_commit(lambda: hooks.append("ran"))
            await Account.objects.acreate(pk=2)
            with pytest.raises(IntegrityError):
                await fails()

    await pay()
    assert await accounts() == 1
    assert not hooks
    line = pay.__code__.co_firstlineno + 1
    (text,) = caplog.messages
    assert f"The atomic block at {__file__}:{line} in pay ended without an " in text
    assert (
        "exception, but what it did in database 'default' was rolled back: an error in "
        "it was caught (IntegrityError('duplicate key value" in text
    )
    assert text.endswith(
        "Let the error leave the block, or give what may fail a block of its own; "
        "set_rollback(True) says that the rollback is meant. "
        f"See {DOCS}#lost-transaction"
    )


@pytest.mark.usefixtures("taken")
async def test_a_savepoint_that_is_lost_is_reported_and_the_transaction_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with aatomic():
        await Account.objects.acreate(pk=2)
        async with aatomic():
            await Account.objects.acreate(pk=3)
            async with aatomic(savepoint=False):
                with pytest.raises(IntegrityError):
                    await fails()
    assert await accounts() == 2
    assert [record.name for record in caplog.records] == ["django_async_ext.db"]


@pytest.mark.usefixtures("taken")
async def test_an_error_that_leaves_its_block_is_not_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with aatomic():
        await Account.objects.acreate(pk=2)
        with pytest.raises(IntegrityError):
            async with aatomic():
                await fails()
    assert await accounts() == 2
    assert not caplog.messages


async def test_a_rollback_that_was_asked_for_is_not_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with aatomic():
        await Account.objects.acreate(pk=2)
        await on_loop(transaction.set_rollback)(True)
        assert await on_loop(transaction.get_rollback)() is True
    assert await accounts() == 0
    assert not caplog.messages


@pytest.mark.usefixtures("taken")
async def test_a_block_may_recover_by_hand_as_in_django(
    caplog: pytest.LogCaptureFixture, hooks: list[str]
) -> None:
    async with aatomic():
        await aon_commit(lambda: hooks.append("ran"))
        sid = await on_loop(create)()
        with pytest.raises(IntegrityError):
            await fails()
        assert await on_loop(transaction.get_rollback)() is True
        await on_loop(transaction.set_rollback)(False)
        await on_loop(transaction.savepoint_rollback)(sid)
        await Account.objects.acreate(pk=2)
    assert await accounts() == 2
    assert hooks == ["ran"]
    assert not caplog.messages


@pytest.mark.parametrize("block", ["aatomic", "atomic"])
async def test_a_transaction_that_the_server_aborted_is_an_error_at_its_end(
    block: str, hooks: list[str]
) -> None:
    def work() -> None:
        # Of raw SQL, Django does not note that it failed.
        with pytest.raises(DatabaseError):
            execute("SELECT no_such_column")

    def synchronous() -> None:
        with transaction.atomic():
            transaction.on_commit(lambda: hooks.append("ran"))
            Account.objects.create()
            work()

    async def asynchronous() -> None:
        async with aatomic():
            await aon_commit(lambda: hooks.append("ran"))
            await Account.objects.acreate()
            await on_loop(work)()

    with pytest.raises(InternalError) as caught:
        await (asynchronous() if block == "aatomic" else on_loop(synchronous)())
    assert str(caught.value) == (
        "The transaction on database 'default' cannot be committed: a statement in it "
        "failed, which aborted it, and the error was caught. Let the error leave the "
        "block, or give what may fail a block of its own. "
        f"See {DOCS}#aborted-transaction"
    )
    assert await accounts() == 0
    assert not hooks
    assert pool_stats()["in_use"] == 0
    async with aatomic():
        await Account.objects.acreate()
    assert not hooks


async def test_without_hooks_an_aborted_transaction_ends_as_in_django_and_is_logged(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with aatomic():
        await Account.objects.acreate()
        with pytest.raises(DatabaseError):
            await on_loop(execute)("SELECT no_such_column")
    assert await accounts() == 0
    [logged] = caplog.messages
    assert "on database 'default' cannot be committed: a statement in it" in logged
    assert pool_stats()["in_use"] == 0


# Connections that are lost


@pytest.fixture
def committing(hooks: list[str]) -> Any:
    async def commit(disturb: Any) -> None:
        async with aatomic():
            await aon_commit(lambda: hooks.append("ran"))
            await Account.objects.acreate()
            await disturb()

    return commit


async def test_a_lost_answer_to_commit_is_an_error_of_its_own(
    server: Server, committing: Any, hooks: list[str]
) -> None:
    async with through_proxy() as network:

        async def disturb() -> None:
            network.truncate(0)

        with pytest.raises(UnknownOutcomeError) as caught:
            await committing(disturb)
    assert str(caught.value) == (
        "The connection to database 'default' was lost after COMMIT was sent and "
        "before its answer came: the transaction was committed or rolled back, and "
        "only the database can tell which. Its on_commit() hooks do not run. Look "
        "there before you repeat the work, or make repeating it harmless. "
        f"See {DOCS}#unknown-outcome"
    )
    assert isinstance(caught.value, DatabaseError)
    assert await accounts() == 1
    assert not hooks


@asynccontextmanager
async def ends_in_commit() -> AsyncIterator[None]:
    """The server ends each session that commits a new account."""
    function = "CREATE FUNCTION last_word() RETURNS trigger LANGUAGE plpgsql AS $$ "
    function += "BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); "
    function += "PERFORM pg_sleep(10); RETURN NULL; END $$"
    trigger = "CREATE CONSTRAINT TRIGGER last_word AFTER INSERT ON library_account "
    trigger += "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION last_word()"
    await on_loop(execute)(function)
    await on_loop(execute)(trigger)
    try:
        yield
    finally:
        await on_loop(execute)("DROP FUNCTION last_word CASCADE")


async def test_the_server_s_last_word_in_a_commit_leaves_the_outcome_unknown(
    server: Server, committing: Any, hooks: list[str]
) -> None:
    """It says FATAL also when it has just committed."""
    async with ends_in_commit():
        with pytest.raises(UnknownOutcomeError):
            await committing(lambda: asyncio.sleep(0))
    assert await accounts() == 0
    assert not hooks


async def test_a_connection_whose_end_is_seen_before_commit_has_a_known_outcome(
    server: Server, committing: Any, hooks: list[str]
) -> None:
    async def disturb() -> None:
        server.terminate()

    with pytest.raises(DatabaseError) as caught:
        await committing(disturb)
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert await accounts() == 0
    assert not hooks


async def test_a_commit_that_the_server_refuses_has_a_known_outcome(
    hooks: list[str],
) -> None:
    with pytest.raises(IntegrityError):
        async with aatomic():
            await aon_commit(lambda: hooks.append("ran"))
            await Book.objects.acreate(title="of nobody", pages=1, author_id=-10)
    assert await Book.objects.acount() == await Author.objects.acount() == 0
    assert not hooks


# Networks that are silent


def tcp_options() -> list[int]:
    connection.ensure_connection()
    with socket.socket(fileno=connection.connection.fileno()) as found:
        try:
            return [
                found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
            ]
        finally:
            found.detach()


async def test_the_system_gives_up_a_silent_network_after_a_minute() -> None:
    assert await on_loop(tcp_options)() == [1, 30, 10, 3, 60_000]


async def test_the_project_may_set_other_limits(configure: Any) -> None:
    configure(tcp_user_timeout=5_000, keepalives_idle=3)
    assert await on_loop(tcp_options)() == [1, 3, 10, 3, 5_000]


def test_synchronous_code_has_libpq_s_limits() -> None:
    connections["default"].close()
    assert tcp_options()[-1] == 0
    connections["default"].close()
