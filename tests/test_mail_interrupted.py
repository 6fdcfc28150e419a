"""E-mail whose task is cancelled, or that is asked for in unusual ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Event
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from django.core import mail
from django.core.mail.backends import locmem

from django_async_ext import on_loop
from django_async_ext.mail import asend_mail, asend_messages
from tests import test_mail
from tests.proxy import Proxy
from tests.test_mail import Postbox, Project, Server, Start, connection, letter
from tests.waiting import until

postbox, project = test_mail.postbox, test_mail.project
server, start = test_mail.server, test_mail.start


@asynccontextmanager
async def opened(server: Server, project: Project) -> AsyncIterator[Any]:
    """Give an open backend that speaks through a proxy, and its function to send."""
    async with Proxy("127.0.0.1", server.port) as proxy:
        project.use(port=proxy.port)
        backend = connection()
        await on_loop(backend.open)()
        yield proxy, backend, on_loop(backend.send_messages)


async def test_a_cancelled_task_does_not_end_an_open_backend_for_the_others(
    server: Server, postbox: Postbox, project: Project
) -> None:
    async with opened(server, project) as (proxy, backend, send):
        assert await send([letter(0)]) == 1
        proxy.hold()
        task = asyncio.create_task(send([letter(1)]))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert backend.connection is None
        proxy.heal()
        assert [await send([letter(number)]) for number in (2, 3)] == [1, 1]
    assert postbox.subjects == ["Letter 0", "Letter 2", "Letter 3"]


async def test_a_task_cancelled_in_the_queue_leaves_the_connection_to_its_user(
    server: Server, postbox: Postbox, project: Project
) -> None:
    async with opened(server, project) as (proxy, backend, send):
        proxy.hold()
        first = asyncio.create_task(send([letter(0)]))
        queued = asyncio.create_task(send([letter(1)]))
        await asyncio.sleep(0.05)
        queued.cancel()
        await asyncio.wait([queued])
        proxy.heal()
        assert await first == 1
        assert await send([letter(2)]) == 1
        await until(lambda: postbox.subjects == ["Letter 0", "Letter 2"])
        assert postbox.sessions == 1
        await on_loop(backend.close)()


def log_in_slowly(start: Start, project: Project) -> tuple[Event, Event]:
    """Start a server; give what tells that somebody logs in, and what lets him in."""
    reached, go = Event(), Event()

    def check(*_args: Any) -> AuthResult:
        reached.set()
        go.wait(10)
        return AuthResult(success=True)

    start(authenticator=check, auth_require_tls=False)
    project.use(username="me", password="secret")
    return reached, go


async def cancel_in_the_queue(send: Any) -> None:
    queued = asyncio.create_task(send([letter(1)]))
    await asyncio.sleep(0.05)
    queued.cancel()
    await asyncio.wait([queued])


async def send_nothing(send: Any) -> None:
    assert await send([]) == 0


@pytest.mark.parametrize("other", [cancel_in_the_queue, send_nothing])
async def test_no_other_task_disturbs_a_login(
    start: Start, postbox: Postbox, project: Project, other: Any
) -> None:
    reached, go = log_in_slowly(start, project)
    send = on_loop(connection().send_messages)
    first = asyncio.create_task(send([letter(0)]))
    await until(reached.is_set)
    await other(send)
    go.set()
    assert await first == 1
    assert postbox.subjects == ["Letter 0"]


async def test_who_is_cancelled_while_it_logs_in_leaves_no_connection(
    start: Start, postbox: Postbox, project: Project
) -> None:
    reached, go = log_in_slowly(start, project)
    backend = connection()
    task = asyncio.create_task(on_loop(backend.open)())
    await until(reached.is_set)
    task.cancel()
    await asyncio.wait([task])
    go.set()
    assert backend.connection is None
    assert vars(backend).get("_partial_connection") is None
    assert await on_loop(backend.send_messages)([letter(0)]) == 1


@pytest.mark.skipif(
    not hasattr(mail, "mailers"), reason="no setting of Django 5.2 or 6.0 says so"
)
async def test_a_server_that_is_down_is_asked_once_for_each_connection(
    project: Project,
) -> None:
    asked: list[Any] = []

    async def refuse(_reader: Any, writer: Any) -> None:
        asked.append(writer)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    project.use(host="127.0.0.1", port=port, fail_silently=True)
    assert await asend_messages(map(letter, range(20)), connections=2) == 0
    server.close()
    for writer in asked:
        with suppress(ConnectionError):
            await writer.wait_closed()
    assert len(asked) == 2


@pytest.mark.parametrize("connections", [0, -1])
async def test_messages_over_no_connection_are_refused(
    server: Server, postbox: Postbox, connections: int
) -> None:
    with pytest.raises(ValueError, match="would send nothing") as caught:
        await asend_messages([letter()], connections=connections)
    assert str(caught.value) == (
        f"connections={connections} would send nothing: give 1 or more, or leave it "
        "out."
    )
    assert not postbox.delivered


class Blocking(locmem.EmailBackend):
    """A backend of a third party."""


@pytest.mark.parametrize("by_position", [True, False])
# Django 6.1 deprecates both.
@pytest.mark.filterwarnings("ignore:.*:PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
async def test_a_connection_given_by_position_is_judged_as_one_given_by_name(
    project: Project, by_position: bool, thread_submissions: list[str], mailoutbox: Any
) -> None:
    project.use(host="127.0.0.1", port=1)
    message = ("Hello", "Dear", "me@here.org", ["you@there.org"])
    if by_position:
        sent = await asend_mail(*message, False, None, None, Blocking())
    else:
        sent = await asend_mail(*message, connection=Blocking())
    assert (sent, len(mailoutbox)) == (1, 1)
    assert any("submit" in one for one in thread_submissions)
