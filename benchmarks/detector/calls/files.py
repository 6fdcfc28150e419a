"""Files on a disk."""

# ruff: noqa: ASYNC230

from __future__ import annotations

import glob
import gzip
import json
import os
import shutil
import tempfile
import zipfile
from typing import TYPE_CHECKING

from benchmarks.detector.operations import blocking

if TYPE_CHECKING:
    from benchmarks.detector.world import World


@blocking("files")
async def open_file(w: World) -> None:
    open(w.file).close()  # blocks


@blocking("files")
async def read_text(w: World) -> None:
    w.file.read_text()  # blocks


@blocking("files")
async def write_text(w: World) -> None:
    w.file.write_text("{}")  # blocks


@blocking("files")
async def load_json(w: World) -> None:
    with open(w.file) as file:  # blocks
        json.load(file)


@blocking("files")
async def listdir(w: World) -> None:
    os.listdir(w.home)  # blocks


@blocking("files")
async def glob_files(w: World) -> None:
    glob.glob(f"{w.home}/*")  # blocks


@blocking("files")
async def walk(w: World) -> None:
    list(os.walk(w.home))  # blocks


@blocking("files")
async def copy(w: World) -> None:
    shutil.copyfile(w.file, w.home / "copy")  # blocks


@blocking("files")
async def remove(w: World) -> None:
    os.remove(w.file)  # blocks


@blocking("files")
async def make_folder(w: World) -> None:
    (w.home / "folder").mkdir()  # blocks


@blocking("files")
async def temporary_file(w: World) -> None:
    tempfile.NamedTemporaryFile(dir=w.home).close()  # blocks


@blocking("files")
async def unzip(w: World) -> None:
    zipfile.ZipFile(w.zipped).close()  # blocks


@blocking("files")
async def gunzip(w: World) -> None:
    gzip.open(w.gzipped).close()  # blocks


@blocking("files", stalls=True)
async def read_pipe(w: World) -> None:
    reading, writing = os.pipe()
    w.soon(lambda: os.close(writing))
    with open(reading, "rb") as pipe:
        pipe.read()  # blocks


@blocking("files")
async def read_open_file(w: World) -> None:
    w.opened.read()  # blocks


@blocking("files")
async def write_open_file(w: World) -> None:
    w.written.write(b"x")  # blocks


@blocking("files")
async def stat(w: World) -> None:
    os.stat(w.file)  # blocks


@blocking("files")
async def path_exists(w: World) -> None:
    w.file.exists()  # blocks


@blocking("files")
async def sync_to_disk(w: World) -> None:
    os.fsync(w.written.fileno())  # blocks
