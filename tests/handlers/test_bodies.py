"""What comes in and goes out in parts: streams, files, uploads."""

import asyncio
import gc
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application as djangos
from django.core.files import File
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from django_async_ext import in_bridge, loop_safe, on_loop
from django_async_ext.asgi import get_asgi_application
from tests.handlers.asking import Exchange, ask
from tests.library.models import Author

#: Where each part was made, or read.
places: list[str] = []


@pytest.fixture(autouse=True)
def forget_places() -> None:
    places.clear()


def note() -> None:
    main = threading.current_thread() is threading.main_thread()
    places.append("bridge" if in_bridge() else "loop" if main else "thread")


def parts() -> Iterator[bytes]:
    for number in range(3):
        note()
        yield str(number).encode()


async def aparts() -> AsyncIterator[bytes]:
    for part in parts():
        yield part


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


@loop_safe
def safe_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


async def stream_of_an_async_view(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts())


@loop_safe
def rows(request: HttpRequest) -> StreamingHttpResponse:
    authors = Author.objects.order_by("name").iterator(chunk_size=2)
    return StreamingHttpResponse(f"{author.name}\n" for author in authors)


class Disk(io.FileIO):
    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        note()
        return super().read(size)  # type: ignore[arg-type]


HERE = Path(__file__)
TEXT = HERE.read_bytes()


async def file(request: HttpRequest) -> FileResponse:
    return FileResponse(File(Disk(HERE)), filename="page.py")


async def memory(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(b"from memory"))


async def own_file(request: HttpRequest) -> FileResponse:
    class Remote(io.BytesIO):
        pass

    class Wrapped:
        """Like a storage's file, which may be far away."""

        def read(self, size: int) -> bytes:
            note()
            return inner.read(size)

        def close(self) -> None:
            inner.close()

    inner = Remote(b"from afar")
    return FileResponse(Wrapped())


async def breaks(request: HttpRequest) -> StreamingHttpResponse:
    async def some() -> AsyncIterator[bytes]:
        yield b"first"
        raise ZeroDivisionError

    return StreamingHttpResponse(some())


class Closing:
    """A synchronous iterator that tells when it is closed."""

    closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"a", b"b"])

    def close(self) -> None:
        Closing.closed = True
        note()


def closing(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(Closing())


@csrf_exempt
async def upload(request: HttpRequest) -> HttpResponse:
    await on_loop(lambda: request.FILES)()
    files = {name: file.read() for name, file in request.FILES.items()}
    return HttpResponse(repr((dict(request.POST), files)))


@csrf_exempt
@loop_safe
def size(request: HttpRequest) -> HttpResponse:
    return HttpResponse(len(request.body))


urlpatterns = [
    path("stream", stream),
    path("safe", safe_stream),
    path("of-async", stream_of_an_async_view),
    path("async", async_stream),
    path("rows", rows),
    path("file", file),
    path("memory", memory),
    path("own-file", own_file),
    path("breaks", breaks),
    path("closing", closing),
    path("upload", upload),
    path("size", size),
]


@pytest.mark.parametrize(
    ("page", "where"),
    [
        ("stream", "thread"),
        ("safe", "bridge"),
        ("of-async", "thread"),
        ("async", "loop"),
    ],
)
async def test_parts_are_made_in_their_place_and_sent_one_by_one(
    page: str, where: str
) -> None:
    answer = await ask(get_asgi_application(), f"/{page}")
    assert [message.get("body") for message in answer.sent[1:]] == [
        b"0",
        b"1",
        b"2",
        None,
    ]
    assert places == [where] * 3


async def test_the_next_part_is_not_made_before_the_last_is_sent() -> None:
    application = get_asgi_application()
    exchange = Exchange("/safe")
    made_when_sent = []

    async def send(message: Any) -> None:
        made_when_sent.append(len(places))

    await asyncio.create_task(application(exchange.scope, exchange.receive, send))
    assert made_when_sent == [0, 1, 2, 3, 3]


@pytest.mark.django_db(transaction=True)
async def test_rows_are_streamed_from_the_database_without_a_thread(
    thread_submissions: list[str],
) -> None:
    names = ["Ada", "Boris", "Clarice", "Doris", "Emil"]
    await Author.objects.abulk_create(Author(name=name) for name in names)
    answer = await ask(get_asgi_application(), "/rows")
    assert answer.content.decode().split() == names
    assert len(answer.sent) == len(names) + 2
    assert thread_submissions == []


async def test_a_file_is_read_in_a_thread_in_chunks() -> None:
    answer = await ask(get_asgi_application(), "/file")
    assert answer.content == TEXT
    assert set(places) == {"thread"}
    headers = dict(answer.answer_headers)
    assert headers["Content-Length"] == str(len(TEXT))


async def test_a_large_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * 1_000_000)

    async def send_large(request: HttpRequest) -> FileResponse:
        return FileResponse(large.open("rb"))

    with override_settings(ROOT_URLCONF=(path("large", send_large),)):
        answer = await ask(get_asgi_application(), "/large")
    sizes = [len(message.get("body", b"")) for message in answer.sent[1:]]
    assert sum(sizes) == 1_000_000
    assert max(sizes) == 2**16


async def test_a_file_in_memory_needs_no_thread(thread_submissions: list[str]) -> None:
    answer = await ask(get_asgi_application(), "/memory")
    assert answer.content == b"from memory"
    assert thread_submissions == []


async def test_another_kind_of_file_is_read_in_the_thread_of_the_request() -> None:
    answer = await ask(get_asgi_application(), "/own-file")
    assert answer.content == b"from afar"
    assert set(places) == {"thread"}


async def test_an_iterator_is_closed_where_it_ran() -> None:
    await ask(get_asgi_application(), "/closing")
    assert Closing.closed
    assert places == ["thread"]


# Before 6.1 Django's handler leaves the body open when it fails.
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
async def test_a_view_that_raises_after_streaming_began_is_not_silent() -> None:
    for application in (djangos(), get_asgi_application()):
        exchange = Exchange("/breaks")
        with pytest.raises(ZeroDivisionError):
            await exchange.run(application)
        assert [each["type"] for each in exchange.sent] == [
            "http.response.start",
            "http.response.body",
        ]
    gc.collect()


BOUNDARY = "b" * 20


def form(content: bytes, filename: str = "a.bin") -> dict[str, Any]:
    lines = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="word"\r\n\r\nhello\r\n',
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '
        f'filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n',
    ]
    body = "".join(lines).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {
        "content-type": f"multipart/form-data; boundary={BOUNDARY}",
        "content-length": str(len(body)),
    }
    return {"method": "POST", "headers": headers, "body": body}


async def test_a_small_upload_needs_no_thread(thread_submissions: list[str]) -> None:
    answer = await ask(get_asgi_application(), "/upload", **form(b"small"))
    assert answer.content == b"({'word': ['hello']}, {'file': b'small'})"
    assert thread_submissions == []


class Noting(MemoryFileUploadHandler):
    def new_file(self, *args: Any, **kwargs: Any) -> None:
        note()
        super().new_file(*args, **kwargs)


@pytest.mark.parametrize(
    ("limit", "declared", "where"),
    [(10_000, [], "thread"), (10_000, [__name__], "bridge"),
     (1000, [__name__], "thread")],
)  # fmt: skip
async def test_an_upload_is_parsed_in_a_thread_if_that_may_take_long(
    limit: int, declared: list[str], where: str
) -> None:
    handlers = [
        f"{__name__}.Noting",
        "django.core.files.uploadhandler.TemporaryFileUploadHandler",
    ]
    with override_settings(
        FILE_UPLOAD_MAX_MEMORY_SIZE=limit,
        FILE_UPLOAD_HANDLERS=handlers,
        ASYNC_EXT={"LOOP_SAFE": declared},
    ):
        answer = await ask(
            get_asgi_application(), "/upload", **form(b"x" * 5000), chunk=500
        )
    assert b"x" * 5000 in answer.content
    assert places == [where]


@pytest.mark.parametrize("debug", [False, True])
async def test_a_body_over_the_limit_is_refused_as_in_django(debug: bool) -> None:
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100, DEBUG=debug):
        options: dict[str, Any] = {"method": "POST", "body": b"x" * 101}
        options["headers"] = {"content-length": "101"}
        theirs = await ask(djangos(), "/size", **options)
        ours = await ask(get_asgi_application(), "/size", **options)
    assert ours.status == theirs.status == 400


async def test_a_body_is_read_in_chunks() -> None:
    answer = await ask(
        get_asgi_application(), "/size", method="POST", body=b"x" * 1000, chunk=7
    )
    assert answer.content == b"1000"


async def test_what_a_thread_streams_may_use_its_own_thread() -> None:
    idents = set()

    def numbers() -> Iterator[bytes]:
        for _ in range(3):
            idents.add(threading.get_ident())
            yield b"."

    @sync_to_async
    def view(request: HttpRequest) -> StreamingHttpResponse:
        idents.add(threading.get_ident())
        return StreamingHttpResponse(numbers())

    with override_settings(ROOT_URLCONF=(path("numbers", view),)):
        answer = await ask(get_asgi_application(), "/numbers")
    assert answer.content == b"..."
    assert len(idents) == 1
