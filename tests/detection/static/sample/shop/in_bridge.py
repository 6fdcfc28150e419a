"""What the bridge does not help against blocks there too."""

# ruff: noqa: ASYNC251

import time

from django_async_ext import implicit_waits, on_loop

from .models import Book


@implicit_waits
async def implicit(pk: int) -> None:
    Book.objects.get(pk=pk)
    time.sleep(1)  # blocks: asyncio.sleep


@on_loop
def bridged(pk: int) -> None:
    Book.objects.get(pk=pk)
    time.sleep(1)  # blocks: asyncio.sleep


def pause() -> None:
    Book.objects.get()
    time.sleep(1)


async def calls() -> None:
    await on_loop(pause)()  # blocks: pause() → time.sleep()
