"""Whatever a client sends amiss, the answer is that of Django's handler."""

import asyncio
from typing import Any

import pytest
from django.core.asgi import get_asgi_application as djangos
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from django_async_ext.asgi import get_asgi_application
from tests.handlers.asking import Exchange, ask


async def echo(request: HttpRequest) -> HttpResponse:
    names = ["QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "SCRIPT_NAME"]
    told = {name: request.META.get(name) for name in names}
    return HttpResponse(repr((request.path, told, request.COOKIES, request.GET)))


@csrf_exempt
async def form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(repr((request.POST, request.FILES)))


async def session(request: HttpRequest) -> HttpResponse:
    count = await request.session.aget("count", 0)
    await request.session.aset("count", count + 1)
    return HttpResponse(str(count))


async def query(request: HttpRequest) -> HttpResponse:
    return HttpResponse(repr(request.GET))


urlpatterns = [
    path("echo", echo),
    path("form", form),
    path("session", session),
    path("query", query),
]

HEADERS = {
    "a name with an underscore": [(b"x_real_ip", b"1"), (b"x-real-ip", b"2")],
    "a name twice": [(b"x-one", b"1"), (b"x-one", b"2")],
    "bytes that are no text": [(b"x-one", b"\xff\xfe\x00")],
    "an empty cookie": [(b"cookie", b"")],
    "a cookie of separators": [(b"cookie", b";;==;=;,")],
    "two cookie headers": [(b"cookie", b"a=1"), (b"cookie", b"b=2")],
    "a cookie that is no text": [(b"cookie", b"sessionid=\xff\xfe")],
    "an unknown session": [(b"cookie", b"sessionid=" + b"z" * 32)],
    "a session that is too short": [(b"cookie", b"sessionid=x")],
    "a session that is too long": [(b"cookie", b"sessionid=" + b"z" * 5000)],
    "a bad length": [(b"content-length", b"many")],
    "a negative length": [(b"content-length", b"-1")],
    "a bad type": [(b"content-type", b"///;;;charset=nonsense")],
    "another host": [(b"host", b"elsewhere.example")],
    "a bad host": [(b"host", b"[::bad")],
    "no host": [],
}


async def compared(page: str, **options: Any) -> Exchange:
    """Ask both handlers, and find no difference."""
    theirs = await ask(djangos(), page, **options)
    ours = await ask(get_asgi_application(), page, **options)
    assert (ours.status, ours.content) == (theirs.status, theirs.content)
    assert [name for name, _ in ours.answer_headers] == [
        name for name, _ in theirs.answer_headers
    ]
    return ours


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_malformed_headers(headers: list[tuple[bytes, bytes]]) -> None:
    given = headers if not headers or b"host" in dict(headers) else [
        (b"host", b"testserver"),
        *headers,
    ]  # fmt: skip
    answer = await compared("/echo", scope={"headers": given})
    assert answer.status in (200, 400)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "key", ["z" * 32, "x", "z" * 5000, "' OR 1=1 --", "../../etc/passwd", "\xff\xfe"]
)
async def test_a_forged_session_key_is_nobodys(key: str) -> None:
    answer = await compared("/session", headers={"cookie": f"sessionid={key}"})
    assert answer.content == b"0"
    assert answer.cookies["sessionid"] != key


@pytest.mark.parametrize(
    "scope",
    [
        {"query_string": b"\xff=\xfe&%zz=%"},
        {"query_string": "as=text"},
        {"path": "/nul\x00byte"},
        {"path": "/../../echo"},
        {"root_path": "/prefix", "path": "/prefix/echo"},
        {"root_path": "/prefix", "path": "/echo"},
        {"method": "NONSENSE"},
        {"client": None},
        {"server": None},
    ],
    ids=repr,
)
async def test_an_odd_request(scope: dict[str, Any]) -> None:
    answer = await compared("/echo", scope=scope)
    assert answer.status in (200, 400, 403, 404)


async def test_a_request_that_cannot_be_made() -> None:
    answer = await compared("/echo", scope={"query_string": b"\xff\xfe"})
    assert answer.status == 400


MULTIPART = "multipart/form-data; boundary="
BODIES = {
    "no boundary": ("multipart/form-data", b"--x\r\n"),
    "an empty boundary": (MULTIPART, b"--\r\n\r\n"),
    "a cut part": (f"{MULTIPART}x", b'--x\r\nContent-Disposition: form-data; name="a'),
    "no end": (f"{MULTIPART}x", b"--x\r\n" * 100),
    "a part without a name": (f"{MULTIPART}x", b"--x\r\n\r\nvalue\r\n--x--\r\n"),
    "bytes that are no text": ("application/x-www-form-urlencoded", b"\xff=%ff&=&&"),
    "a bad charset": ("application/x-www-form-urlencoded; charset=nonsense", b"a=1"),
    "too many fields": ("application/x-www-form-urlencoded", b"a=1&" * 2000),
    "too large": ("application/x-www-form-urlencoded", b"a" * 3_000_000),
    "not a form": ("application/json", b"{"),
}


@pytest.mark.parametrize(("kind", "body"), BODIES.values(), ids=BODIES)
async def test_a_malformed_body(kind: str, body: bytes) -> None:
    headers = {"content-type": kind, "content-length": str(len(body))}
    answer = await compared("/form", method="POST", headers=headers, body=body)
    assert answer.status in (200, 400)


@pytest.mark.parametrize("limit", [1, 10_000])
async def test_too_many_files(limit: int) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n.\r\n'
    body = part * 150 + b"--x--\r\n"
    headers = {"content-type": f"{MULTIPART}x", "content-length": str(len(body))}
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=limit):
        answer = await compared("/form", method="POST", headers=headers, body=body)
    assert answer.status == 400


async def test_a_body_that_comes_byte_by_byte_holds_nothing_up() -> None:
    application = get_asgi_application()
    body = b"a=1&b=2"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    slow = Exchange("/form", method="POST", headers=headers, body=body, chunk=1)
    more = asyncio.Event()
    receive = slow.receive

    async def wait_and_receive() -> dict[str, Any]:
        await more.wait()
        return await receive()

    slow.receive = wait_and_receive  # type: ignore[method-assign]
    task = asyncio.create_task(slow.run(application))
    quick = await ask(application, "/echo")
    assert quick.status == 200
    assert not task.done()
    more.set()
    assert b"'a': ['1'], 'b': ['2']" in (await task).content


async def test_a_client_that_reads_slowly_holds_nothing_up() -> None:
    application = get_asgi_application()
    slow, ready = Exchange("/echo"), asyncio.Event()

    async def wait_and_send(message: dict[str, Any]) -> None:
        await ready.wait()
        slow.sent.append(message)

    slow.send = wait_and_send  # type: ignore[method-assign]
    task = asyncio.create_task(slow.run(application))
    quick = await ask(application, "/echo")
    assert quick.status == 200
    assert not task.done()
    ready.set()
    assert (await task).status == 200


async def test_a_class_for_requests_of_ones_own_is_used() -> None:
    class Picky(ASGIRequest):
        def __init__(self, *args: Any) -> None:
            raise UnicodeDecodeError("ascii", b"", 0, 1, "no")

    application = get_asgi_application()
    application.request_class = Picky
    assert (await ask(application, "/echo")).status == 400
