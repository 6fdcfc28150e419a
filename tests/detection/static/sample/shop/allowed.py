"""A module that the settings allow to block."""

# ruff: noqa: ASYNC251

import time


async def allowed() -> None:
    time.sleep(1)


def sleeping() -> None:
    time.sleep(1)
