"""E-mail, signals and tasks: what is sent away.

Contract: data only. A signal blocks only if a receiver is asynchronous, or if one
does something else that blocks.
"""

from __future__ import annotations

from types import FrameType

from django_async_ext.detection import frames
from django_async_ext.detection.endpoints.making import each, in_thread, twin, twins
from django_async_ext.detection.guards.families import Family
from django_async_ext.detection.rules import Endpoint

_MAIL = "django.core.mail"
_BACKENDS = f"{_MAIL}.backends"


def _mail(name: str) -> str:
    return f"{in_thread(name)}; or await a{name}(...) of django_async_ext.mail"


_SEND = f"{in_thread('message.send')}; or await asend(message) of django_async_ext.mail"
_MESSAGES = in_thread("connection.send_messages")

MAIL = Family(
    "mail",
    f"{_BACKENDS}.base.BaseEmailBackend",
    {"send_messages": _MESSAGES, "open": in_thread("connection.open")},
    silent=tuple(
        f"{_BACKENDS}.{name}.EmailBackend" for name in ("console", "dummy", "locmem")
    ),
    loud=(f"{_BACKENDS}.filebased.EmailBackend",),
    inside="use the backend of the same kind in django_async_ext.mail",
)

TASKS = Family(
    "tasks",
    "django.tasks.backends.base.BaseTaskBackend",
    {name: twin(name, "task") for name in ("enqueue", "get_result")},
    silent=("django.tasks.backends.dummy.DummyBackend",),
)

_SIGNAL = "django.dispatch.dispatcher.Signal"


def _of_signal(frame: FrameType) -> Endpoint | None:
    sending = next(frames.outwards(frame.f_back), None)
    while sending is not None and sending.f_globals.get("__name__") != _DISPATCHER:
        sending = sending.f_back
    return None if sending is None else WAITING


_DISPATCHER = "django.dispatch.dispatcher"
#: What a signal calls if a receiver is asynchronous; asgiref refuses it on a loop.
WAITING = Endpoint(
    "signals",
    "asgiref.sync.AsyncToSync.__call__",
    twin("send", "signal"),
    exact=_of_signal,
)

TABLE: tuple[Endpoint, ...] = (
    *(
        Endpoint("mail", f"{_MAIL}.{name}", _mail(name), leads=True)
        for name in ("send_mail", "send_mass_mail", "mail_admins", "mail_managers")
    ),
    *each("mail", f"{_MAIL}.message.EmailMessage", "send", _SEND),
    *each("mail", MAIL.base, "send_messages", _MESSAGES),
    *each("mail", MAIL.base, "open __enter__", in_thread("connection.open")),
    *twins("signals", _SIGNAL, "send send_robust", "signal"),
    WAITING,
    *twins("tasks", "django.tasks.base.Task", "enqueue get_result", "task"),
    *twins("tasks", "django.tasks.base.TaskResult", "refresh", "result"),
    *twins("tasks", TASKS.base, "enqueue get_result", "backend"),
)
FAMILIES = (MAIL, TASKS)
