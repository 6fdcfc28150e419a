"""The floor: Starlette without middleware, and SQL by hand on psycopg's own pool."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route

from benchmarks.http.cases import ADDED, SLEEP_SECONDS
from benchmarks.http.sites import choices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from starlette.requests import Request

GET = "SELECT id, randomnumber FROM world WHERE id = %s"
UPDATE = """
    UPDATE world SET randomnumber = new.number
    FROM unnest(%s::int[], %s::int[]) AS new (id, number) WHERE world.id = new.id
"""

templates = FileSystemLoader(Path(__file__).parent / "templates")
page = Environment(loader=templates, autoescape=True).get_template("fortunes.html")
pool = AsyncConnectionPool(
    os.environ["BENCH_URL"],
    min_size=1,
    max_size=int(os.environ["BENCH_POOL"]),
    timeout=60,
    kwargs={"autocommit": True},
    open=False,
)


@asynccontextmanager
async def lifespan(application: Starlette) -> AsyncIterator[None]:
    async with pool:
        yield


async def row(pk: int) -> dict[str, int]:
    async with pool.connection() as connection:
        cursor = await connection.execute(GET, [pk])
        found: Any = await cursor.fetchone()
        return dict(zip(("id", "randomNumber"), found, strict=True))


async def plaintext(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello, World!")


async def json(request: Request) -> JSONResponse:
    return JSONResponse({"message": "Hello, World!"})


async def db(request: Request) -> JSONResponse:
    return JSONResponse(await row(choices.one()))


async def queries(request: Request) -> JSONResponse:
    return JSONResponse([await row(pk) for pk in choices.several()])


async def gather(request: Request) -> JSONResponse:
    return JSONResponse(await asyncio.gather(*map(row, choices.several())))


async def updates(request: Request) -> JSONResponse:
    rows = [await row(pk) for pk in choices.several()]
    for each in rows:
        each["randomNumber"] = choices.one()
    columns = [[each[name] for each in rows] for name in ("id", "randomNumber")]
    async with pool.connection() as connection:
        await connection.execute(UPDATE, columns)
    return JSONResponse(rows)


async def fortunes(request: Request) -> HTMLResponse:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT id, message FROM fortune")
        rows: list[tuple[Any, ...]] = [*await cursor.fetchall(), (0, ADDED)]
    rows.sort(key=lambda row: row[1])
    return HTMLResponse(
        page.render(fortunes=[{"id": pk, "message": text} for pk, text in rows])
    )


async def sleep(request: Request) -> JSONResponse:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT pg_sleep(%s)", [SLEEP_SECONDS])
        await cursor.fetchall()
    return JSONResponse({"slept": True})


VIEWS = (plaintext, json, db, queries, gather, updates, fortunes, sleep)
application = Starlette(
    routes=[Route(f"/{view.__name__}", view) for view in VIEWS], lifespan=lifespan
)
