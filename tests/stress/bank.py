"""A bank that executes a plan on the database, and a model of what must be there.

Each operation runs in a task of its own. What it wrote must be there entirely or not
at all, as its outcome says, and no money may ever be seen to be missing.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import Error, IntegrityError, connections, transaction
from django.db.models import F, Sum

from django_async_ext import (
    aatomic,
    aon_commit,
    gather_queries,
    hold_connection,
    on_loop,
)
from django_async_ext.db.connections import pool_stats
from django_async_ext.exceptions import ConnectionOwnershipError, UnknownOutcomeError
from tests.db.server import Server, execute, sleep, through_proxy, until
from tests.library.models import Account, Entry
from tests.proxy import Proxy
from tests.stress.plan import ACCOUNTS, BALANCE, Fault, Operation, Plan, Step
from tests.waiting import PATIENCE


class DeliberateError(Exception):
    """An operation's own failure."""


@dataclass
class Outcome:
    """What an operation saw of itself."""

    error: BaseException | None = None
    #: All statements but COMMIT succeeded.
    reached_commit: bool = False
    hooks: int = 0


@dataclass
class Bank:
    """Executes one plan; what went wrong stands in ``wrong`` afterwards."""

    plan: Plan
    server: Server
    proxy: Proxy | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    _steps_begun: int = 0

    async def run(self) -> None:
        """Execute the plan, then check."""
        await self._open()
        tasks = []
        for operation in self.plan.operations:
            self.outcomes[operation.number] = Outcome()
            work = CancelledAt(operation.cancelled_at, self._perform(operation))
            tasks.append(asyncio.create_task(work.run(), name=str(operation.number)))
        done = asyncio.gather(*tasks)
        try:
            async with asyncio.timeout(3 * PATIENCE):
                await done
        except TimeoutError:
            self.wrong.append(f"hangs: {[t for t in tasks if not t.done()]}")
        if self.proxy:
            self.proxy.heal()
        await self.check()

    async def _open(self) -> None:
        await Entry.objects.all().adelete()
        await Account.objects.all().adelete()
        made = [Account(pk=pk, balance=BALANCE) for pk in range(ACCOUNTS)]
        await Account.objects.abulk_create(made)

    async def _perform(self, operation: Operation) -> None:
        outcome = self.outcomes[operation.number]
        try:
            if operation.steps:
                await self._in_transaction(operation)
            else:
                self._begin_step()
                await SINGLE[operation.kind](self, operation)
        except asyncio.CancelledError as error:
            outcome.error = error
            if not operation.cancelled_at:
                self._complain(operation, "was cancelled by nobody")
        except DeliberateError as error:
            outcome.error = error
        except Error as error:
            outcome.error = error
            if not (self.plan.faults or "deadlock" in str(error)):
                self._complain(operation, f"failed: {error!r}")
        except Exception as error:  # noqa: BLE001 (whatever is wrong)
            outcome.error = error
            self._complain(operation, f"failed: {error!r}")

    def _complain(self, operation: Operation, words: str) -> None:
        self.wrong.append(f"operation {operation.number} {words}")

    # Operations with a transaction

    async def _in_transaction(self, operation: Operation) -> None:
        if operation.kind == "decorated":
            await aatomic(self._steps)(operation)
        else:
            async with aatomic():
                await self._steps(operation)

    async def _steps(self, operation: Operation) -> None:
        outcome = self.outcomes[operation.number]

        def hook() -> None:
            outcome.hooks += 1

        async def async_hook() -> None:
            outcome.hooks += 1
            written = Entry.objects.filter(operation=operation.number)
            if await written.acount() != len(_expected(operation)):
                self._complain(operation, "ran its hook before its rows were there")

        await aon_commit(async_hook if operation.has_async_hook else hook)
        if operation.locks_first:
            touched = {pk for s in operation.steps for pk in (s.source, s.target)}
            found = Account.objects.filter(pk__in=touched).order_by("pk")
            await found.select_for_update()
        for index, step in enumerate(operation.steps):
            self._begin_step()
            if step.interlude:
                await INTERLUDES[step.interlude](self, operation)
            await self._block(step, partial(self._move, operation, index))
        if operation.ending == "raise":
            raise DeliberateError
        if operation.ending == "set rollback":
            await on_loop(transaction.set_rollback)(True)
        # A lost connection may doom the block through an error that a step expects.
        is_doomed = await on_loop(transaction.get_rollback)()
        outcome.reached_commit = operation.ending == "commit" and not is_doomed

    async def _block(self, step: Step, move: Callable[..., Awaitable[None]]) -> None:
        if step.block == "savepoint":
            async with aatomic():
                await move()
        elif step.block == "no savepoint":
            async with aatomic(savepoint=False):
                await move()
        elif step.block == "undone":
            with suppress(DeliberateError):
                async with aatomic():
                    await move()
                    raise DeliberateError
        elif step.block == "broken":
            with suppress(IntegrityError):
                async with aatomic():
                    await move()
                    await Account.objects.acreate(pk=step.source)
        elif step.block == "nowait":
            with suppress(DeliberateError):
                await self._nowait(step, move)
        elif step.block == "skip locked":
            await Account.objects.select_for_update(skip_locked=True)
            await move()
        else:
            await move()

    async def _nowait(self, step: Step, move: Callable[..., Awaitable[None]]) -> None:
        try:
            async with aatomic():
                found = Account.objects.filter(pk=step.target)
                await found.select_for_update(nowait=True)
                await move()
                raise DeliberateError
        except Error as error:
            if "could not obtain lock" not in str(error):
                raise

    async def _move(self, operation: Operation, index: int) -> None:
        step = operation.steps[index]
        entries = _entries(operation, index)
        if step.block.endswith(("synchronous", "synchronous code")):
            await on_loop(_move_synchronously)(step, entries)
        elif step.block == "gathered":
            await gather_queries(
                _update(step.source, -step.amount),
                _update(step.target, step.amount),
                *(entry.asave() for entry in entries),
            )
        else:
            source = await Account.objects.select_for_update().aget(pk=step.source)
            source.balance -= step.amount
            await source.asave()
            await _update(step.target, step.amount)
            await Entry.objects.abulk_create(entries)

    # Interludes, and operations without a transaction

    async def _pause(self, operation: Operation) -> None:
        await asyncio.sleep(0.001)

    async def _sum(self, operation: Operation) -> None:
        found = await Account.objects.aaggregate(total=Sum("balance"))
        if found["total"] != ACCOUNTS * BALANCE:
            self._complain(operation, f"saw {found['total']} in all")

    async def _stream(self, operation: Operation) -> None:
        seen = [a.pk async for a in Account.objects.order_by("pk").aiterator(2)]
        if seen != list(range(ACCOUNTS)):
            self._complain(operation, f"saw the accounts {seen}")

    async def _break_off(self, operation: Operation) -> None:
        async for _ in Account.objects.aiterator(2):
            break

    async def _prefetch(self, operation: Operation) -> None:
        for account in await Account.objects.prefetch_related("entry_set"):
            booked = sum(entry.amount for entry in account.entry_set.all())
            # Two statements, so only what this transaction has locked must agree.
            touched = {pk for s in operation.steps for pk in (s.source, s.target)}
            is_locked = operation.locks_first and account.pk in touched
            if is_locked and account.balance != BALANCE + booked:
                self._complain(operation, f"saw {account.balance} at {account.pk}")

    async def _child(self, operation: Operation) -> None:
        try:
            await asyncio.create_task(Account.objects.acount())
        except ConnectionOwnershipError:
            pass
        else:
            self._complain(operation, "has a child that left the transaction")

    async def _add(self, operation: Operation) -> None:
        outcome = self.outcomes[operation.number]
        outcome.reached_commit = True
        await Entry.objects.acreate(
            operation=operation.number, step=0, account_id=0, amount=0
        )
        outcome.hooks += 1

    async def _gather(self, operation: Operation) -> None:
        await gather_queries(*(self._sum(operation) for _ in range(4)))

    async def _pipeline(self, operation: Operation) -> None:
        queries = [Account.objects.filter(pk=pk) for pk in range(ACCOUNTS)]
        for pk, rows in enumerate(await gather_queries(*queries, pipeline=True)):
            if [row.pk for row in rows] != [pk]:
                self._complain(operation, f"got {rows} for {pk}")

    async def _hold(self, operation: Operation) -> None:
        async with hold_connection():
            await on_loop(execute)("SELECT pg_advisory_lock(%s)", 4000)
            await self._sum(operation)

    async def _slow(self, operation: Operation) -> None:
        await on_loop(sleep)(0.05)

    # Faults

    def _begin_step(self) -> None:
        self._steps_begun += 1
        for fault in self.plan.faults:
            if fault.at == self._steps_begun:
                self._break(fault)

    def _break(self, fault: Fault) -> None:
        later = asyncio.get_running_loop().call_later
        if fault.kind.startswith("terminate"):
            pids = self.server.pids()
            if fault.kind == "terminate":
                pids = pids[fault.index : fault.index + 1]
            # It waits until they have ended, or one might in the checks.
            self.server.ask(
                "SELECT pg_terminate_backend(p, 60000) FROM unnest(%s::int[]) p", pids
            )
        elif self.proxy is None:
            return
        elif fault.kind == "cut":
            self.proxy.cut(fault.index)
        elif fault.kind == "cut all":
            self.proxy.cut()
        elif fault.kind == "truncate":
            self.proxy.truncate(fault.index * 7)
        elif fault.kind == "refuse":
            self.proxy.refuse()
            later(0.03, self.proxy.heal)
        else:
            self.proxy.hold()
            later(0.03, self.proxy.heal)

    # What must hold

    async def check(self) -> None:
        """Note all that is wrong."""
        await self._check_connections()
        rows = [
            (row.operation, row.step, row.account_id, row.amount)
            for row in await Entry.objects.all()
        ]
        self._check_operations(rows)
        booked = Counter(dict.fromkeys(range(ACCOUNTS), BALANCE))
        for _, _, account, amount in rows:
            booked[account] += amount
        balances = {a.pk: a.balance for a in await Account.objects.all()}
        if balances != dict(booked):
            self.wrong.append(f"balances are {balances}, but booked was {booked}")
        if sum(balances.values()) != ACCOUNTS * BALANCE:
            self.wrong.append(f"all accounts together have {sum(balances.values())}")

    def _check_operations(self, rows: list[tuple[int, int, int, int]]) -> None:
        for operation in self.plan.operations:
            outcome = self.outcomes[operation.number]
            found = sorted(row for row in rows if row[0] == operation.number)
            complete = sorted(_expected(operation))
            torn = found not in ([], complete)
            possible = self._possible(operation, outcome)
            if torn or (complete and bool(found) not in possible):
                words = f"has {len(found)} rows of {len(complete)}; {outcome}"
                self._complain(operation, words)
            committed = outcome.reached_commit
            least = committed and outcome.error is None
            if not least <= outcome.hooks <= committed:
                self._complain(operation, f"ran its hooks; {outcome}")

    def _possible(self, operation: Operation, outcome: Outcome) -> set[bool]:
        """Say whether its rows may be there, and whether they may be missing."""
        if outcome.hooks:
            return {True}
        if not outcome.reached_commit:
            return {False}
        if self.plan.faults or not operation.steps:
            # The answer to COMMIT, or to an INSERT of its own, may have been lost.
            if outcome.error and operation.steps and not self._is_unknown(operation):
                return {False}
            return {True, False} if outcome.error else {True}
        # Cancelled: a hook that waits is cancelled before it starts.
        return {True} if operation.has_async_hook else {False}

    def _is_unknown(self, operation: Operation) -> bool:
        error = self.outcomes[operation.number].error
        # It may also be that of a hook, after the commit.
        unknown = UnknownOutcomeError, asyncio.CancelledError
        return isinstance(error, unknown) or operation.has_async_hook

    async def _check_connections(self) -> None:
        words = "connections: "
        try:
            await until(lambda: pool_stats()["in_use"] == 0)
        except TimeoutError:
            self.wrong.append(f"{words}{pool_stats()}")
            return
        # Whatever lies in the pool must work, and in its right mode.
        count = pool_stats()["max_size"]
        works = await gather_queries(*([_look] * count), limit=count)
        if works != [(ACCOUNTS, False)] * count:
            self.wrong.append(f"{words}the next statements gave {works}")
        # Those that died while they were idle have been found by now.
        with suppress(TimeoutError):
            await until(lambda: self.server.sessions() == pool_stats()["size"])
        stats, sessions = pool_stats(), self.server.sessions()
        if stats["waiting"] or stats["in_use"] or stats["size"] > stats["max_size"]:
            self.wrong.append(f"{words}{stats}")
        if sessions != stats["size"]:
            self.wrong.append(f"{words}{sessions} on the server, {stats}")
        if busy := self.server.ask(_BUSY, self.server.name):
            self.wrong.append(f"{words}left as {busy}")


_BUSY = """
    SELECT state || ': ' || query FROM pg_stat_activity
    WHERE application_name = %s AND state <> 'idle'
"""


def _look() -> tuple[int, bool]:
    wrapper = connections["default"]
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT count(*), pg_sleep(0.002) FROM library_account")
        return cursor.fetchone()[0], wrapper.in_atomic_block


def _entries(operation: Operation, index: int) -> list[Entry]:
    step = operation.steps[index]
    return [
        Entry(operation=operation.number, step=index, account_id=pk, amount=amount)
        for pk, amount in ((step.source, -step.amount), (step.target, step.amount))
    ]


def _expected(operation: Operation) -> list[tuple[int, int, int, int]]:
    """Return the rows that it leaves, if it commits."""
    if operation.kind == "add":
        return [(operation.number, 0, 0, 0)]
    return [
        (entry.operation, entry.step, entry.account_id, entry.amount)
        for index, step in enumerate(operation.steps)
        if step.is_kept
        for entry in _entries(operation, index)
    ]


def _update(pk: int, amount: int) -> Coroutine[Any, Any, int]:
    account = Account.objects.filter(pk=pk)
    return account.aupdate(balance=F("balance") + amount)


def _move_synchronously(step: Step, entries: list[Entry]) -> None:
    with suppress(DeliberateError), transaction.atomic():
        for pk, amount in ((step.source, -step.amount), (step.target, step.amount)):
            account = Account.objects.select_for_update().get(pk=pk)
            account.balance += amount
            account.save()
        Entry.objects.bulk_create(entries)
        if not step.is_kept:
            raise DeliberateError


INTERLUDES: dict[str, Callable[[Bank, Operation], Awaitable[None]]] = {
    "pause": Bank._pause,
    "sum": Bank._sum,
    "stream": Bank._stream,
    "broken off": Bank._break_off,
    "child": Bank._child,
    "prefetch": Bank._prefetch,
}
SINGLE: dict[str, Callable[[Bank, Operation], Awaitable[None]]] = {
    "add": Bank._add,
    "sum": Bank._sum,
    "stream": Bank._stream,
    "broken off": Bank._break_off,
    "gather": Bank._gather,
    "pipeline": Bank._pipeline,
    "hold": Bank._hold,
    "slow": Bank._slow,
}


async def execute_plan(plan: Plan, server: Server) -> Bank:
    """Execute ``plan``, over a network that can fail if it has faults."""
    if not plan.faults:
        bank = Bank(plan, server)
        await bank.run()
        return bank
    async with through_proxy() as proxy:
        bank = Bank(plan, server, proxy)
        await bank.run()
    return bank


class CancelledAt:
    """Runs a coroutine whose task is cancelled at the given suspensions."""

    def __init__(
        self, suspensions: tuple[int, ...], coroutine: Coroutine[Any, Any, None]
    ) -> None:
        self._suspensions = suspensions
        self._coroutine = coroutine

    async def run(self) -> None:
        await self

    def __await__(self) -> Generator[Any, Any, None]:
        count = 0
        resume: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                yielded = resume()
            except StopIteration:
                return
            count += 1
            if count in self._suspensions:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                value = yield yielded
            except BaseException as error:  # noqa: BLE001 (passed on)
                resume = partial(self._coroutine.throw, error)
            else:
                resume = partial(self._coroutine.send, value)
