"""Tells the project's waiting from that of Python's own machinery.

Contract: ``does_wait()`` looks at who made a call. The event loop, imports, logging to
files, tracebacks, debuggers and the start of threads are machinery: what they do is
short, or done on purpose. Code that the loop calls is not.
"""

from __future__ import annotations

import sysconfig
import threading
from functools import lru_cache
from pathlib import Path
from types import FrameType

from django_async_ext.detection import frames
from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.settings import current

_STDLIB = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_PACKAGE = str(Path(__file__).resolve().parent.parent)
_START = threading.Thread.start.__code__

PROJECT, STDLIB, MACHINE, QUIET, OTHER = range(5)

#: Of Python's library: the beginnings of paths below its folder.
_MACHINES = ("asyncio/", "importlib/", "bdb.py", "pdb.py")
#: What may use files and locks.
_QUIET = (
    *("linecache.py", "logging/__init__.py", "traceback.py", "tokenize.py"),
    *("warnings.py", "inspect.py", "pkgutil.py", "encodings/"),
)
_QUIET_RULES = ("files", "locks")
#: Installed packages.
_PACKAGES = (
    *("asgiref", "coverage", "debugpy", "pydevd", "_pydevd_bundle", "uvloop"),
    *("_pydev_bundle", "pydev_ipython"),
)
#: What stands between a project's own line and the file that it asks for.
_BETWEEN = (
    *("pathlib", "shutil.py", "tempfile.py", "json/", "os.py", "glob.py", "io.py"),
    *("codecs.py", "gzip.py", "bz2.py", "lzma.py", "zipfile", "tarfile.py", "csv.py"),
    *("pickle.py", "configparser.py", "fileinput.py", "filecmp.py", "shelve.py"),
    *("_compression.py", "genericpath.py", "posixpath.py", "fnmatch.py"),
)


def does_wait(endpoint: Endpoint, frame: FrameType) -> bool:
    """Tell whether a call of ``endpoint`` in ``frame`` is worth a report."""
    if endpoint.rule == "files" and not current().strict:
        return _is_asked_for(frame)
    if _is_machinery(endpoint.rule, frame):
        return False
    # Last, since it may have to read the source.
    return endpoint.waits is None or endpoint.waits(frame)


def _is_machinery(rule: str, frame: FrameType) -> bool:
    for each in frames.synchronous(frame):
        kind = kind_of(each.f_code.co_filename)
        if kind == MACHINE or each.f_code is _START:
            return True
        if kind == QUIET and rule in _QUIET_RULES:
            return True
        if kind in (PROJECT, OTHER):
            return False
    return False


def _is_asked_for(frame: FrameType) -> bool:
    for each in frames.synchronous(frame):
        file = each.f_code.co_filename
        if kind_of(file) != STDLIB:
            return kind_of(file) == PROJECT
        if not _in_library(file).startswith(_BETWEEN):
            return False
    return False


@lru_cache(maxsize=4096)
def kind_of(file: str) -> int:
    """Tell what kind of code ``file`` has."""
    if file.startswith("<frozen "):
        name = file[len("<frozen ") : -1].replace(".", "/")
        frozen_stdlib = not name.startswith(("importlib", "zipimport"))
        return STDLIB if frozen_stdlib else MACHINE
    if frames.is_below(file, _PACKAGE):
        return MACHINE
    if (installed := _installed(file)) is not None:
        return MACHINE if installed in _PACKAGES else OTHER
    if not frames.is_below(file, *_STDLIB):
        return PROJECT if frames.is_project_file(file) else OTHER
    if _in_library(file).startswith(_MACHINES):
        return MACHINE
    return QUIET if _in_library(file).startswith(_QUIET) else STDLIB


def _installed(file: str) -> str | None:
    """Return the name of the installed package that ``file`` is of."""
    for folder in ("/site-packages/", "/dist-packages/"):
        if folder in file:
            return file.rpartition(folder)[2].split("/")[0].removesuffix(".py")
    return None


def _in_library(file: str) -> str:
    """Return the path of ``file`` below the folder of Python's library."""
    if file.startswith("<frozen "):
        return file[len("<frozen ") : -1].replace(".", "/") + ".py"
    for folder in _STDLIB:
        if file.startswith(f"{folder}/"):
            return file[len(folder) + 1 :]
    return file
