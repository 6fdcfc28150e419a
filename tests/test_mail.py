"""E-mail to a real SMTP server, over the loop."""

import asyncio
import datetime
import logging
import ssl
from collections.abc import Callable, Iterator, Sequence
from email import message_from_bytes
from pathlib import Path
from smtplib import SMTPRecipientsRefused, SMTPServerDisconnected
from typing import Any, ClassVar

import django
import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend

from django_async_ext import on_loop
from django_async_ext.mail import (
    amail_admins,
    amail_managers,
    asend,
    asend_mail,
    asend_mass_mail,
    asend_messages,
)
from tests.programs import free_port
from tests.proxy import Proxy

BACKEND = "django_async_ext.mail.EmailBackend"


class Postbox:
    """What the server was given, and what it does to its clients."""

    def __init__(self) -> None:
        self.delivered: list[Any] = []
        self.sessions = 0
        self.refuses: set[str] = set()
        self.drops_at: str | None = None

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: Any
    ) -> Any:
        self.sessions += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.drops_at == "RCPT":
            server.transport.abort()
        if address in self.refuses:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        self.delivered.append(envelope)
        return "250 OK"

    @property
    def subjects(self) -> list[str]:
        return sorted(
            message_from_bytes(one.content)["Subject"] for one in self.delivered
        )


class Server(Controller):
    def __init__(self, postbox: Postbox, **options: Any) -> None:
        over_tls = options.pop("over_tls", None)
        super().__init__(
            postbox, hostname="127.0.0.1", port=free_port(), ssl_context=over_tls
        )
        self.options = options

    def factory(self) -> SMTP:
        return SMTP(self.handler, **self.options)


Start = Callable[..., Server]

SMTP_OF_DJANGO = "django.core.mail.backends.smtp.EmailBackend"
#: What the options of a mailer were called before there were mailers.
_SETTINGS = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
    "file_path": "EMAIL_FILE_PATH",
}


class Project:
    """Configures e-mail as the running version of Django wants it."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings
        self._options: dict[str, Any] = {}

    def use(self, backend: str = BACKEND, **options: Any) -> None:
        """Send by ``backend``; its options add to those given before."""
        self._options |= options
        if hasattr(mail, "mailers"):
            known = (
                self._options if "smtp" in backend or backend == BACKEND else options
            )
            mailer = {"BACKEND": backend, "OPTIONS": known}
            self._settings.MAILERS = {"default": mailer}
            return
        self._settings.EMAIL_BACKEND = backend
        for name, value in self._options.items():
            setattr(self._settings, _SETTINGS[name], value)


@pytest.fixture
def project(settings: Any) -> Project:
    return Project(settings)


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def start(postbox: Postbox, project: Project) -> Iterator[Start]:
    """Start a server, and let the project send by it."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    servers: list[Server] = []

    def start(**options: Any) -> Server:
        server = Server(postbox, **options)
        server.start()
        servers.append(server)
        project.use(host="127.0.0.1", port=server.port)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(start: Start) -> Server:
    return start()


def letter(number: int = 0, **fields: Any) -> EmailMessage:
    return EmailMessage(
        f"Letter {number}", "Dear", "me@here.org", ["you@there.org"], **fields
    )


def connection() -> Any:
    mailers: Any = getattr(mail, "mailers", None)
    return mail.get_connection() if mailers is None else mailers.default


async def test_a_message_is_sent_on_the_loop(
    server: Server, postbox: Postbox, thread_submissions: list[str]
) -> None:
    await asend_mail("first", "looks up this machine's name", None, ["you@there.org"])
    thread_submissions.clear()
    sent = await asend_mail(
        "Hello", "Dear", "me@here.org", ["you@there.org"], html_message="<p>Dear</p>"
    )
    assert sent == 1
    envelope = postbox.delivered[-1]
    assert envelope.mail_from == "me@here.org"
    assert envelope.rcpt_tos == ["you@there.org"]
    assert message_from_bytes(envelope.content).get_content_type() == (
        "multipart/alternative"
    )
    assert not thread_submissions


async def test_many_messages_take_one_connection(
    server: Server, postbox: Postbox
) -> None:
    one = ("Hello", "Dear", "me@here.org", ["you@there.org"])
    assert await asend_mass_mail([one] * 5) == 5
    assert len(postbox.delivered) == 5
    assert postbox.sessions == 1


async def test_messages_are_sent_in_parallel_over_a_few_connections(
    server: Server, postbox: Postbox
) -> None:
    assert await asend_messages((letter(n) for n in range(20)), connections=3) == 20
    assert postbox.subjects == sorted(f"Letter {n}" for n in range(20))
    assert postbox.sessions == 3
    assert await asend_messages([]) == 0


async def test_after_an_error_no_other_message_is_begun(
    server: Server, postbox: Postbox
) -> None:
    postbox.refuses.add("nobody@there.org")
    letters = [letter(n) for n in range(10)]
    letters[3].to = ["nobody@there.org"]
    with pytest.raises(Exception, match="no such person"):
        await asend_messages(letters, connections=1)
    assert postbox.subjects == ["Letter 0", "Letter 1", "Letter 2"]


async def test_messages_of_every_kind_can_be_sent(
    server: Server, postbox: Postbox, tmp_path: Path
) -> None:
    message = EmailMultiAlternatives("With all", "text", None, ["a@b.org"])
    message.bcc = ["c@d.org"]
    message.attach_alternative("<p>html</p>", "text/html")
    (tmp_path / "file.bin").write_bytes(bytes(range(256)) * 4000)
    message.attach_file(str(tmp_path / "file.bin"))
    assert await asend(message) == 1
    assert postbox.delivered[0].rcpt_tos == ["a@b.org", "c@d.org"]
    received = message_from_bytes(postbox.delivered[0].content)
    (attached,) = (part for part in received.walk() if part.get_filename())
    assert attached.get_payload(decode=True) == bytes(range(256)) * 4000


async def test_a_message_without_recipients_is_not_sent(server: Server) -> None:
    assert await asend(EmailMessage("Nobody", "", None, [])) == 0


async def test_admins_and_managers(
    server: Server, postbox: Postbox, settings: Any
) -> None:
    both = ["a@b.org"] if django.VERSION >= (6, 0) else [("A", "a@b.org")]
    settings.ADMINS = settings.MANAGERS = both
    await amail_admins("to admins", "text")
    await amail_managers("to managers", "text")
    assert postbox.subjects == ["[Django] to admins", "[Django] to managers"]


async def test_one_of_several_recipients_may_be_refused(
    server: Server, postbox: Postbox
) -> None:
    postbox.refuses.add("nobody@there.org")
    assert await asend_mail("x", "y", None, ["nobody@there.org", "you@there.org"]) == 1
    assert postbox.delivered[0].rcpt_tos == ["you@there.org"]


async def test_the_errors_are_those_of_django(
    server: Server, postbox: Postbox, project: Project
) -> None:
    postbox.refuses.add("nobody@there.org")
    postbox.drops_at = None

    def send() -> None:
        mail.send_mail("x", "y", None, ["nobody@there.org"])

    project.use(SMTP_OF_DJANGO)
    with pytest.raises(SMTPRecipientsRefused) as stock:
        await asyncio.to_thread(send)
    project.use()
    with pytest.raises(SMTPRecipientsRefused) as ours:
        await asend_mail("x", "y", None, ["nobody@there.org"])
    assert str(ours.value) == str(stock.value)


async def test_a_connection_dropped_between_commands(
    server: Server, postbox: Postbox
) -> None:
    postbox.drops_at = "RCPT"
    with pytest.raises(Exception, match=r"closed|reset|disconnect"):
        await asend_mail("x", "y", None, ["you@there.org"])
    postbox.drops_at = None
    assert await asend_mail("x", "y", None, ["you@there.org"]) == 1


async def test_a_server_that_is_down(project: Project) -> None:
    project.use(host="127.0.0.1", port=free_port())
    with pytest.raises(ConnectionRefusedError):
        await asend_mail("x", "y", None, ["you@there.org"])


async def test_the_timeout_ends_a_wait(server: Server, project: Project) -> None:
    async with Proxy("127.0.0.1", server.port) as proxy:
        project.use(port=proxy.port, timeout=0.1)
        proxy.hold()
        with pytest.raises(SMTPServerDisconnected, match="timed out"):
            await asend_mail("x", "y", None, ["you@there.org"])


@pytest.mark.parametrize("size", range(0, 400, 40))
async def test_cancelled_anywhere_a_message_is_sent_whole_or_not_at_all(
    server: Server, postbox: Postbox, project: Project, size: int
) -> None:
    async with Proxy("127.0.0.1", server.port) as proxy:
        project.use(port=proxy.port)
        whole = "a line\r\n" * 2000
        task = asyncio.create_task(asend_mail("x", whole, None, ["you@there.org"]))
        proxy.hold_after(size % 50)
        for _ in range(size):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        proxy.heal()
    assert all(whole.encode() in one.content for one in postbox.delivered)
    project.use(port=server.port)
    assert await asend_mail("next", "y", None, ["you@there.org"]) == 1
    assert postbox.subjects[0] == "next"


async def test_a_backend_used_by_many_tasks_sends_one_message_after_the_other(
    server: Server, postbox: Postbox
) -> None:
    backend: Any = connection()
    await on_loop(backend.open)()
    send = on_loop(backend.send_messages)
    letters = [letter(n) for n in range(10)]
    assert await asyncio.gather(*(send([one]) for one in letters)) == [1] * 10
    await on_loop(backend.close)()
    assert postbox.subjects == sorted(f"Letter {n}" for n in range(10))
    assert postbox.sessions == 1


def test_in_plain_code_it_is_djangos_backend(server: Server, postbox: Postbox) -> None:
    assert mail.send_mail("Hello", "Dear", None, ["you@there.org"]) == 1
    assert postbox.subjects == ["Hello"]


async def test_sync_code_inside_the_bridge_sends_on_the_loop(
    server: Server, postbox: Postbox
) -> None:
    assert await on_loop(mail.send_mail)("Hello", "Dear", None, ["you@there.org"]) == 1
    assert postbox.subjects == ["Hello"]


# TLS and passwords


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certificate_of(authority: trustme.CA, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", **options).configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the authority, as a machine does that has it installed."""
    stock = ssl.create_default_context

    def trusting(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        context = stock(*args, **kwargs)
        authority.configure_trust(context)
        return context

    monkeypatch.setattr(ssl, "create_default_context", trusting)


@pytest.mark.usefixtures("trusted")
async def test_starttls_and_a_password(
    start: Start, postbox: Postbox, authority: trustme.CA, project: Project
) -> None:
    def check(
        server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> Any:
        right = data.login == b"me" and data.password == b"secret"
        return AuthResult(success=right, handled=False)

    start(
        tls_context=certificate_of(authority),
        require_starttls=True,
        authenticator=check,
        auth_required=True,
    )
    project.use(use_tls=True, username="me", password="secret")
    assert await asend_mail("secretly", "x" * 500_000, None, ["you@there.org"]) == 1
    assert postbox.subjects == ["secretly"]
    project.use(password="guess")
    with pytest.raises(Exception, match="Authentication"):
        await asend_mail("x", "y", None, ["you@there.org"])


@pytest.mark.usefixtures("trusted")
async def test_tls_from_the_first_byte(
    start: Start, postbox: Postbox, authority: trustme.CA, project: Project
) -> None:
    start(over_tls=certificate_of(authority))
    project.use(use_ssl=True)
    assert await asend_mail("secretly", "y", None, ["you@there.org"]) == 1
    assert await asend_messages([letter(n) for n in range(6)], connections=2) == 6
    assert len(postbox.delivered) == 7


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("how", ["use_ssl", "use_tls"])
async def test_an_expired_certificate_is_refused(
    start: Start, postbox: Postbox, authority: trustme.CA, project: Project, how: str
) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificate = certificate_of(authority, not_after=past)
    start(**{"over_tls" if how == "use_ssl" else "tls_context": certificate})
    project.use(**{how: True})
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await asend_mail("x", "y", None, ["you@there.org"])
    assert not postbox.delivered


# Other backends


async def test_files_are_written_off_the_loop(
    project: Project, tmp_path: Path, thread_submissions: list[str]
) -> None:
    path = "django_async_ext.mail.FileBasedEmailBackend"
    project.use(path, file_path=str(tmp_path))
    assert await asend_mail("Hello", "Dear", None, ["you@there.org"]) == 1
    (written,) = tmp_path.iterdir()  # noqa: ASYNC240
    assert b"Subject: Hello" in written.read_bytes()
    assert thread_submissions


async def test_messages_that_go_nowhere_need_no_thread(
    project: Project, thread_submissions: list[str]
) -> None:
    project.use("django.core.mail.backends.locmem.EmailBackend")
    await asend_mail("Hello", "Dear", None, ["you@there.org"])
    thread_submissions.clear()
    assert await asend_mail("Hello", "Dear", None, ["you@there.org"]) == 1
    assert not thread_submissions
    assert mail.outbox[-1].subject == "Hello"  # type: ignore[attr-defined]


async def test_any_other_backend_has_a_thread(
    server: Server,
    postbox: Postbox,
    project: Project,
    thread_submissions: list[str],
) -> None:
    project.use(SMTP_OF_DJANGO)
    assert await asend_mail("Hello", "Dear", None, ["you@there.org"]) == 1
    assert thread_submissions
    assert await asend_messages([letter(n) for n in range(4)]) == 4
    assert len(postbox.delivered) == 5


async def test_named_mailers(server: Server, postbox: Postbox, settings: Any) -> None:
    if not hasattr(mail, "mailers"):
        with pytest.raises(TypeError, match=r"MAILERS of Django 6\.1"):
            await asend_messages([letter()], using="bulk")
        return
    options = {"host": "127.0.0.1", "port": server.port}
    bulk = {"BACKEND": BACKEND, "OPTIONS": options}
    stock = {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}
    settings.MAILERS = {"default": stock, "bulk": bulk}
    assert await asend_messages([letter(n) for n in range(3)], using="bulk") == 3
    assert await asend_mail("x", "y", None, ["you@there.org"], using="bulk") == 1
    assert await asend(letter(9), using="bulk") == 1
    assert len(postbox.delivered) == 5


async def test_a_silent_failure_sends_nothing(project: Project) -> None:
    project.use(host="127.0.0.1", port=free_port())
    backend: Any = connection()
    backend.fail_silently = True
    assert await on_loop(backend.send_messages)([letter()]) == 0


class OfThirdParty(BaseEmailBackend):
    """Opens nothing before it sends, as most that speak to a service by HTTP."""

    connection = None
    sent: ClassVar[list[EmailMessage]] = []

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        self.sent.extend(email_messages)
        return len(email_messages)


async def test_a_backend_without_a_connection_sends(project: Project) -> None:
    project.use(f"{__name__}.OfThirdParty")
    letters = [letter(n) for n in range(3)]
    assert await asend_messages(letters) == 3
    assert OfThirdParty.sent == letters


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*deprecated:PendingDeprecationWarning")
async def test_the_settings_from_before_the_mailers(
    start: Start, postbox: Postbox, settings: Any
) -> None:
    server = start()
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS
    settings.EMAIL_BACKEND = BACKEND
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    assert await asend_mail("Hello", "Dear", None, ["you@there.org"]) == 1
    assert await asend_messages([letter()]) == 1
    assert postbox.subjects == ["Hello", "Letter 0"]
