"""A file that the settings allow to block."""

# ruff: noqa: ASYNC251

import time

from shop.allowed import sleeping


async def old() -> None:
    time.sleep(1)
    sleeping()
