"""Sockets, names, HTTP clients and drivers."""

# ruff: noqa: ASYNC210

from __future__ import annotations

import http.client
import select
import selectors
import smtplib
import socket
import sqlite3
import urllib.request
from typing import TYPE_CHECKING

import httpx
import psycopg

from benchmarks.detector.operations import blocking

if TYPE_CHECKING:
    from benchmarks.detector.world import World


@blocking("sockets")
async def create_connection(w: World) -> None:
    socket.create_connection(w.http).close()  # blocks


@blocking("sockets", stalls=True)
async def slow_recv(w: World) -> None:
    w.soon(lambda: w.other.send(b"x"))
    w.one.recv(1)  # blocks


@blocking("sockets")
async def sendall(w: World) -> None:
    w.one.sendall(b"x")  # blocks


@blocking("sockets", stalls=True)
async def slow_accept(w: World) -> None:
    listening = w.listening()
    w.soon(lambda: w.keep(socket.create_connection(listening.getsockname())))
    listening.accept()[0].close()  # blocks


@blocking("sockets", stalls=True)
async def slow_readline(w: World) -> None:
    w.soon(lambda: w.other.send(b"x\n"))
    with w.one.makefile("rb") as file:
        file.readline()  # blocks


@blocking("sockets", stalls=True)
async def select_of_sockets(w: World) -> None:
    select.select([w.one], [], [], w.while_)  # blocks


@blocking("sockets", stalls=True)
async def select_of_selector(w: World) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(w.one, selectors.EVENT_READ)
        selector.select(w.while_)  # blocks


@blocking("sockets")
async def smtp(w: World) -> None:
    smtplib.SMTP(*w.smtp).quit()  # blocks


@blocking("dns")
async def getaddrinfo(w: World) -> None:
    socket.getaddrinfo("localhost", 80)  # blocks


@blocking("dns")
async def gethostbyname(w: World) -> None:
    socket.gethostbyname("localhost")  # blocks


@blocking("http", stalls=True)
async def requests_get(w: World) -> None:
    w.requests.get(w.url("slow"))  # blocks


@blocking("http")
async def requests_session(w: World) -> None:
    with w.requests.Session() as session:
        session.get(w.url())  # blocks


@blocking("http")
async def urlopen(w: World) -> None:
    urllib.request.urlopen(w.url()).close()  # blocks


@blocking("http")
async def http_client(w: World) -> None:
    connection = http.client.HTTPConnection(*w.http)
    connection.request("GET", "/")  # blocks
    connection.close()


@blocking("http")
async def httpx_client(w: World) -> None:
    w.httpx.get(w.url())  # blocks


@blocking("http", stalls=True)
async def httpx_once(w: World) -> None:
    httpx.get(w.url("slow"))  # blocks


@blocking("drivers")
async def psycopg_connect(w: World) -> None:
    psycopg.connect(w.database).close()  # blocks


@blocking("drivers")
async def psycopg_execute(w: World) -> None:
    w.psycopg.execute("SELECT 1")  # blocks


@blocking("drivers", stalls=True)
async def psycopg_slow(w: World) -> None:
    w.psycopg.execute(f"SELECT pg_sleep({w.while_})")  # blocks


@blocking("drivers")
async def sqlite_connect(w: World) -> None:
    sqlite3.connect(w.home / "other.sqlite3").close()  # blocks


@blocking("drivers")
async def sqlite_execute(w: World) -> None:
    w.sqlite.execute("SELECT 1")  # blocks


@blocking("drivers")
async def redis_get(w: World) -> None:
    w.redis.get("key")  # blocks


@blocking("drivers")
async def redis_pipeline(w: World) -> None:
    pipeline = w.redis.pipeline()
    pipeline.set("key", 1)
    pipeline.execute()  # blocks
