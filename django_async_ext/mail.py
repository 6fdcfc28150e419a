"""E-mail on the event loop: Django's functions and backends, awaitable.

Contract: messages are Django's, and so is the SMTP dialogue. A backend of this
module waits on the loop inside the bridge and blocks as ever in plain code. An
awaitable here runs any other backend in a thread, unless it only keeps messages.
"""

from __future__ import annotations

import asyncio
import inspect
import smtplib
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import mail
from django.core.mail.backends import filebased, smtp

from django_async_ext.bridge import in_bridge, run
from django_async_ext.locks import Lock
from django_async_ext.loop_socket import create_connection, with_loop_sockets
from django_async_ext.sockets import closed_if_interrupted
from django_async_ext.threads import FILES, Threads

_STOCK = "django.core.mail.backends.smtp.EmailBackend"
#: Backends whose messages go nowhere that one could wait for.
_INLINE = {
    f"django.core.mail.backends.{name}.EmailBackend"
    for name in ("console", "dummy", "locmem")
}


class _LoopSMTP(smtplib.SMTP):
    """A dialogue that waits on the loop, and ends when it is interrupted.

    After half a command no other one means what it says: QUIT would be a line of
    the message.
    """

    def _get_socket(self, host: str, port: int, timeout: Any) -> Any:
        # Follows smtplib: SMTP._get_socket()
        if timeout is not None and not timeout:
            raise ValueError("Non-blocking socket (timeout=0) is not supported")
        source: Any = self.source_address
        return create_connection((host, port), timeout, source)

    def send(self, s: Any) -> None:
        """Send as smtplib does; close when interrupted."""
        self._whole(super().send, s)

    def getreply(self) -> Any:
        """Read as smtplib does; close when interrupted."""
        return self._whole(super().getreply)

    def starttls(self, *args: Any, **kwargs: Any) -> Any:
        """Begin TLS as smtplib does; close when interrupted."""
        return self._whole(super().starttls, *args, **kwargs)

    def _whole(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with closed_if_interrupted(self):
            return step(*args, **kwargs)


class _LoopSMTPS(smtplib.SMTP_SSL, _LoopSMTP):
    """The same over TLS from the first byte."""


#: Where Django keeps a connection that is not whole yet; not so in 5.2.0.
_PARTIAL = "_partial_connection"
_ON_LOOP = {smtplib.SMTP: _LoopSMTP, smtplib.SMTP_SSL: _LoopSMTPS}
#: Not among the files: a name server may keep a cancelled task waiting.
_NAMES = Threads("async-ext-names", lambda: 1)


class EmailBackend(smtp.EmailBackend):
    """Django's SMTP backend, whose connection waits on the loop inside the bridge.

    A connection is used where it was opened: on one loop, or in plain code.
    """

    @property
    def _lock(self) -> Any:
        return self.__dict__["_lock"]

    @_lock.setter
    def _lock(self, stock: Any) -> None:  # noqa: ARG002 (an RLock)
        # To an RLock all tasks of a thread are one holder.
        self.__dict__["_lock"] = Lock()

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        """As in Django."""
        stock: type[smtplib.SMTP] = super().connection_class
        return _ON_LOOP.get(stock, stock) if in_bridge() else stock

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """As in Django, for sockets of either kind."""
        # It reads the certificates of every authority.
        return with_loop_sockets(
            FILES.call(lambda: super(EmailBackend, self).ssl_context)
        )

    def open(self) -> bool | None:
        """As in Django, but nothing stays of a connection that is not logged in."""
        _look_up_own_name()
        before, opened = self.connection, None
        try:
            opened = super().open()
        finally:
            if opened is None:
                self._drop_half(before)
        return opened

    def _drop_half(self, before: smtplib.SMTP | None) -> None:
        half: Any = self.__dict__.get(_PARTIAL)
        if half is not None:
            setattr(self, _PARTIAL, None)
        elif self.connection is not before:
            # Django 5.2.0 has no other place for it.
            half, self.connection = self.connection, before
        if half is not None:
            half.close()

    def _send(self, email_message: mail.EmailMessage) -> bool:
        send: Any = super()._send  # type: ignore[misc]
        try:
            with closed_if_interrupted(self.connection):
                return bool(send(email_message))
        except Exception:
            raise
        except BaseException:
            # Who sends next opens another one.
            self.connection = None
            raise


class FileBasedEmailBackend(filebased.EmailBackend):
    """Django's file backend, which writes in a thread inside the bridge."""

    def send_messages(self, email_messages: Sequence[mail.EmailMessage]) -> int:
        """As in Django."""
        send: Any = super().send_messages
        return int(FILES.call(send, email_messages) or 0)


async def asend_mail(*args: Any, **kwargs: Any) -> int:
    """Send one message; takes what Django's send_mail() takes."""
    return int(await _call(mail.send_mail, *args, **kwargs))


async def asend_mass_mail(*args: Any, **kwargs: Any) -> int:
    """Send messages over one connection, as Django's send_mass_mail()."""
    return int(await _call(mail.send_mass_mail, *args, **kwargs))


async def amail_admins(*args: Any, **kwargs: Any) -> None:
    """Send a message to the ADMINS, as Django's mail_admins()."""
    await _call(mail.mail_admins, *args, **kwargs)


async def amail_managers(*args: Any, **kwargs: Any) -> None:
    """Send a message to the MANAGERS, as Django's mail_managers()."""
    await _call(mail.mail_managers, *args, **kwargs)


async def asend(message: mail.EmailMessage, **kwargs: Any) -> int:
    """Send ``message``, as its method ``send()``."""
    fields = vars(message)
    # Django 6.1 deprecates the attribute, and keeps it under another name.
    own = fields.get("connection") or fields.get("_connection")
    where = _waits_on_loop(**{"connection": own} | kwargs)
    return int(await _call_at(where, message.send, **kwargs))


async def asend_messages(
    messages: Iterable[mail.EmailMessage],
    *,
    using: str | None = None,
    connections: int = 4,
) -> int:
    """Send ``messages`` over at most ``connections`` connections at a time.

    Return how many were sent. After an error no other message is begun, those being
    sent are finished, and the error is raised.
    """
    if connections < 1:
        raise ValueError(
            f"connections={connections} would send nothing: give 1 or more, or leave "
            "it out."
        )
    waiting = deque(messages)
    where = _waits_on_loop(using=using)
    senders = [
        _call_at(where, _send_all, waiting, using)
        for _ in range(min(connections, len(waiting)))
    ]
    answers = await asyncio.gather(*senders, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return sum(int(cast(int, answer)) for answer in answers)


def _send_all(waiting: deque[mail.EmailMessage], using: str | None) -> int:
    backend, sent = _backend(using), 0
    opened = False
    try:
        opened = bool(backend.open())
        is_smtp = isinstance(backend, smtp.EmailBackend)
        if is_smtp and not opened and backend.connection is None:
            # It has failed silently, and would for each message.
            return 0
        while waiting:
            sent += backend.send_messages([waiting.popleft()]) or 0
    except BaseException:
        waiting.clear()
        raise
    finally:
        if opened:
            backend.close()
    return sent


def _backend(using: str | None) -> Any:
    mailers: Any = getattr(mail, "mailers", None)
    if mailers is not None:
        return mailers[using or "default"]
    if using is not None:
        raise TypeError("using= needs the MAILERS of Django 6.1.")
    return mail.get_connection()


def _waits_on_loop(**options: Any) -> bool:
    """Tell whether the backend that Django would take may run in the bridge."""
    connection = options.get("connection")
    if connection is not None:
        path = f"{type(connection).__module__}.{type(connection).__qualname__}"
    elif mailers := getattr(settings, "MAILERS", None):
        mailer = mailers.get(options.get("using") or "default", {})
        path = mailer.get("BACKEND", _STOCK)
    else:
        path = settings.EMAIL_BACKEND
    return path.startswith("django_async_ext.") or path in _INLINE


async def _call(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    # Django 6.1 takes by position what its signature says it does not.
    named = dict(zip(inspect.signature(fn).parameters, args, strict=False))
    return await _call_at(_waits_on_loop(**named | kwargs), fn, *args, **kwargs)


async def _call_at(on_loop: bool, fn: Any, *args: Any, **kwargs: Any) -> Any:
    if on_loop:
        return await run(_prepared, fn, *args, **kwargs)
    return await sync_to_async(fn)(*args, **kwargs)


def _prepared(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    _look_up_own_name()
    return fn(*args, **kwargs)


def _look_up_own_name() -> None:
    # Once for each process; every message and dialogue asks for it.
    if not hasattr(mail.DNS_NAME, "_fqdn"):
        _NAMES.call(mail.DNS_NAME.get_fqdn)
