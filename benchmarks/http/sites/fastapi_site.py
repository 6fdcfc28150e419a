"""FastAPI and SQLAlchemy's asyncio ORM on asyncpg, as their documentation has them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse
from jinja2 import Environment, FileSystemLoader
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.http.cases import ADDED, SLEEP_SECONDS
from benchmarks.http.sites import choices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

templates = FileSystemLoader(Path(__file__).parent / "templates")
page = Environment(loader=templates, autoescape=True).get_template("fortunes.html")
engine = create_async_engine(
    os.environ["BENCH_URL"].replace("postgresql://", "postgresql+asyncpg://", 1),
    pool_size=int(os.environ["BENCH_POOL"]),
    max_overflow=0,
    pool_timeout=60,
)
new_session = async_sessionmaker(engine, expire_on_commit=False)
application = FastAPI()


class Base(DeclarativeBase):
    pass


class World(Base):
    __tablename__ = "world"
    id: Mapped[int] = mapped_column(primary_key=True)
    randomnumber: Mapped[int]

    def answer(self) -> dict[str, int]:
        return {"id": self.id, "randomNumber": self.randomnumber}


class Fortune(Base):
    __tablename__ = "fortune"
    id: Mapped[int] = mapped_column(primary_key=True)
    message: Mapped[str]


async def session() -> AsyncIterator[AsyncSession]:
    async with new_session() as found:
        yield found


Session = Annotated[AsyncSession, Depends(session)]


async def get(session: AsyncSession, pk: int) -> World:
    return (await session.scalars(select(World).where(World.id == pk))).one()


async def get_alone(pk: int) -> World:
    async with new_session() as session:
        return await get(session, pk)


@application.get("/plaintext", response_class=PlainTextResponse)
async def plaintext() -> str:
    return "Hello, World!"


@application.get("/json")
async def json() -> dict[str, str]:
    return {"message": "Hello, World!"}


@application.get("/db")
async def db(session: Session) -> dict[str, int]:
    return (await get(session, choices.one())).answer()


@application.get("/queries")
async def queries(session: Session) -> list[dict[str, int]]:
    return [(await get(session, pk)).answer() for pk in choices.several()]


@application.get("/gather")
async def gather() -> list[dict[str, int]]:
    rows = await asyncio.gather(*map(get_alone, choices.several()))
    return [row.answer() for row in rows]


@application.get("/updates")
async def updates(session: Session) -> list[dict[str, int]]:
    rows = [await get(session, pk) for pk in choices.several()]
    for row in rows:
        row.randomnumber = choices.one()
    await session.commit()
    return [row.answer() for row in rows]


@application.get("/fortunes", response_class=HTMLResponse)
async def fortunes(session: Session) -> str:
    rows: list[Any] = [*await session.scalars(select(Fortune))]
    rows.append(Fortune(id=0, message=ADDED))
    rows.sort(key=lambda row: row.message)
    return page.render(fortunes=rows)


@application.get("/sleep")
async def sleep(session: Session) -> dict[str, bool]:
    (await session.execute(select(func.pg_sleep(SLEEP_SECONDS)))).all()
    return {"slept": True}
