"""SQLAlchemy's asyncio ORM as documented: a session per request.

The session begins a transaction at its first query. ``create`` and ``update`` therefore
cost a BEGIN and a COMMIT that Django's autocommit does not send. Reads are select
statements, since ``session.get`` would answer from the identity map without a query.
"""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Select,
    Table,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
)

from benchmarks.cases import GATHERED, PAGE, SLEEP_SECONDS, SLEEPS
from benchmarks.library.rows import new_entry
from benchmarks.modes.base import AsyncMode

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        int: BigInteger,
    }


book_authors = Table(
    "bench_book_authors",
    Base.metadata,
    Column("book_id", ForeignKey("bench_book.id"), primary_key=True),
    Column("author_id", ForeignKey("bench_author.id"), primary_key=True),
)


class Publisher(Base):
    __tablename__ = "bench_publisher"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    city: Mapped[str]


class Author(Base):
    __tablename__ = "bench_author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    born: Mapped[int]


class Book(Base):
    __tablename__ = "bench_book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    isbn: Mapped[str]
    pages: Mapped[int]
    price: Mapped[Decimal]
    published: Mapped[date]
    rating: Mapped[float]
    publisher_id: Mapped[int] = mapped_column(ForeignKey("bench_publisher.id"))
    publisher: Mapped[Publisher] = relationship()
    authors: Mapped[list[Author]] = relationship(secondary=book_authors)


class Entry(Base):
    __tablename__ = "bench_entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str]
    rank: Mapped[int]
    made: Mapped[datetime]


def page(pk: int) -> Select[Book]:
    return select(Book).where(Book.id >= pk).order_by(Book.id).limit(PAGE)


class SqlAlchemy(AsyncMode):
    dialect = ""

    async def open(self, concurrency: int) -> None:
        url = self.config.url.replace("postgresql://", f"{self.dialect}://", 1)
        self.engine = create_async_engine(
            url, pool_size=self.config.pool, max_overflow=0, pool_timeout=60
        )
        self.session = async_sessionmaker(self.engine, expire_on_commit=False)

    async def close(self) -> None:
        await self.engine.dispose()

    def request(self) -> AbstractAsyncContextManager[AsyncSession]:
        return self.session()

    async def get(self, session: AsyncSession, pk: int) -> int:
        return int(
            (await session.scalars(select(Book).where(Book.id == pk))).one().id == pk
        )

    async def list50(self, session: AsyncSession, pk: int) -> int:
        return len((await session.scalars(page(pk))).all())

    async def related50(self, session: AsyncSession, pk: int) -> int:
        books = await session.scalars(page(pk).options(joinedload(Book.publisher)))
        return sum(bool(book.publisher.name) for book in books)

    async def prefetch50(self, session: AsyncSession, pk: int) -> int:
        books = await session.scalars(page(pk).options(selectinload(Book.authors)))
        return sum(len(book.authors) for book in books)

    async def create(self, session: AsyncSession, pk: int) -> int:
        entry = Entry(**new_entry(pk))
        session.add(entry)
        await session.commit()
        return int(entry.id > 0)

    async def update(self, session: AsyncSession, pk: int) -> int:
        book = (await session.scalars(select(Book).where(Book.id == pk))).one()
        book.pages += 1
        await session.commit()
        return 1

    async def alone(self, operation: Any, pk: int) -> int:
        async with self.session() as session:
            return int(await operation(session, pk))

    async def gather20(self, session: AsyncSession, pk: int) -> int:
        return sum(
            await asyncio.gather(
                *(self.alone(self.get, key) for key in range(pk, pk + GATHERED))
            )
        )

    async def sleep1(self, session: AsyncSession, pk: int) -> int:
        return len((await session.execute(select(func.pg_sleep(SLEEP_SECONDS)))).all())

    async def sleep10(self, session: AsyncSession, pk: int) -> int:
        return sum(
            await asyncio.gather(*(self.alone(self.sleep1, pk) for _ in range(SLEEPS)))
        )


class OnAsyncpg(SqlAlchemy):
    dialect = "postgresql+asyncpg"
    packages = ("SQLAlchemy", "asyncpg")


class OnPsycopg(SqlAlchemy):
    dialect = "postgresql+psycopg"
    packages = ("SQLAlchemy", "psycopg")
