"""What the package takes from Django and others is still there, and still alike.

A failure names the file of ours to look at. ``seams.py`` says what a seam is, and
``deriving.py`` how they are found.
"""

import inspect
import json
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.upstream import deriving, seams
from tests.upstream.deriving import Derived
from tests.upstream.seams import (
    COMMAND,
    MIXED_WITH,
    PRIVATE,
    Row,
    Seam,
    add_to,
    complaints,
    digest_of,
    is_installed,
    is_upstream,
    load_table,
    resolve,
    save_table,
    signature_of,
)

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "django_async_ext").rglob("*.py"))
SERIES = {"5.2", "6.0", "6.1"}


@pytest.fixture(scope="module")
def derived():
    """What is found where the package has not been put in force."""
    command = [sys.executable, "-m", "tests.upstream.deriving"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout)
    seams = {name: Seam(**seam) for name, seam in found.pop("seams").items()}
    return SimpleNamespace(seams=seams, **found)


# The package as it is


def test_all_that_is_used_of_others_can_be_made_out(derived):
    assert not derived.faults


def test_what_is_used_of_others_is_as_recorded(derived):
    found = complaints(load_table(), derived.seams, derived.labels, derived.absent)
    assert not (wrong := list(found)), f"{len(wrong)}: " + "\n".join(wrong[:20])


def test_every_module_can_be_looked_at(derived):
    # mysqlclient needs a compiler, and the toolbar is a third party's.
    may_be_absent = {
        "django_async_ext/db/backends/mysql/threaded.py",
        "django_async_ext/detection/panel.py",
    }
    assert derived.absent.keys() <= may_be_absent


def test_every_supported_series_of_django_is_recorded():
    of_django = [r for name, r in load_table().items() if name.startswith("django.")]
    assert {label for row in of_django for label in row.labels()} >= SERIES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_what_a_comment_says_is_followed_has_its_digest(derived, path):
    text, user = path.read_text(), str(path.relative_to(ROOT))
    comments = re.findall(r"Follows (\w+):\s+([\w.]+\w)", text)
    names = [name for package, name in comments if is_upstream(package.lower())]
    known = load_table()
    rows = derived.seams.keys() | known.keys()
    for name in names:
        full = [it for it in rows if f".{it}".endswith(f".{name}")]
        used = [it for it in full if user in (known.get(it) or Row()).used_by]
        extended = [it for it in rows if f".{name}." in f".{it}"]
        assert used or extended, f"{user} follows {name}: run {COMMAND}"


def test_the_tables_name_nothing_that_is_not_there():
    named = {*PRIVATE.values(), *(it for them in MIXED_WITH.values() for it in them)}
    mixed = [ours for ours, them in MIXED_WITH.items() if all(map(is_installed, them))]
    for name in [*filter(is_installed, named), *mixed]:
        assert resolve(name)


# How seams are found


class Wrapper(BaseDatabaseWrapper):
    def connect(self):
        """Takes the place of Django's."""

    def close(self):
        super().close()
        self.run_on_commit = []

    def our_own(self):
        return self._cursor()


@pytest.fixture
def of_wrapper(monkeypatch):
    """What is found in a class that is ours, for once."""
    monkeypatch.setattr(deriving, "OURS", __name__)
    monkeypatch.setattr(seams, "OURS", "tests")
    found = Derived()
    deriving._of_class(Wrapper, found)
    path = "django.db.backends.base.base.BaseDatabaseWrapper."
    return {name.removeprefix(path): seam for name, seam in found.seams.items()}


def test_what_a_class_overrides_is_found(of_wrapper):
    assert of_wrapper["close"].signature == "(self)"
    assert of_wrapper["close"].used_by == ["tests/upstream/test_seams.py"]
    assert "our_own" not in of_wrapper


def test_a_method_that_takes_the_place_of_another_follows_its_source(of_wrapper):
    assert of_wrapper["connect"].source == digest_of(BaseDatabaseWrapper.connect)
    assert not of_wrapper["close"].source


def test_what_a_class_uses_of_its_base_is_found(of_wrapper):
    assert of_wrapper["_cursor"].signature == "(self, name=...)"
    assert of_wrapper["run_on_commit"].signature == "attribute"


class Mixin:
    def fetch(self):
        return super().fetch()


def test_a_method_above_which_there_is_none_is_a_fault(of_wrapper):
    found = Derived()
    deriving._of_class(Mixin, found)
    deriving._hold_supers(found)
    assert found.faults == [
        "tests/upstream/test_seams.py: Mixin calls super().fetch(), which no class "
        "before it has. Name the classes that it is combined with in MIXED_WITH of "
        "tests/upstream/seams.py"
    ]


def written(monkeypatch, text, name="django_async_ext.new"):
    module = ModuleType(name)
    monkeypatch.setattr(deriving, "_text", lambda module: text)
    monkeypatch.setattr(deriving, "_file", lambda module: "django_async_ext/new.py")
    return module


def test_a_private_name_that_nobody_explains_is_a_fault(monkeypatch):
    module, found = written(monkeypatch, "thing._unheard_of()"), Derived()
    deriving._of_private_names([module], set(), found)
    assert found.faults == [
        "django_async_ext/new.py: whose is '_unheard_of'? Say where it is defined in "
        "PRIVATE of tests/upstream/seams.py"
    ]


def test_a_comment_that_follows_what_is_not_there_is_a_fault(monkeypatch):
    module, found = (
        written(monkeypatch, "# Follows Django: Nothing.at_all()"),
        Derived(),
    )
    deriving._of_comments(module, found)
    assert found.faults == [
        "django_async_ext/new.py: there is no 'Nothing.at_all' for the code to follow. "
        "Write its full dotted name"
    ]


def test_what_is_imported_and_patched_is_found(monkeypatch):
    text = "import django.utils.asyncio\ndjango.utils.asyncio.get_running_loop = None"
    module, found = written(monkeypatch, text), Derived()
    deriving._of_imports(module, found)
    assert "django.utils.asyncio.get_running_loop" in found.seams


# The record


SEAM = Seam("(self)", "abc", ["django_async_ext/new.py"], must_be_known=True)
LABELS = {"django": "6.1"}


def complain(table, seam, labels=LABELS):
    seams = {"django.db.thing": seam} if seam else {}
    return list(complaints(table, seams, labels))


@pytest.fixture
def table():
    table = {}
    add_to(table, {"django.db.thing": SEAM}, {"django": "6.0"})
    add_to(table, {"django.db.thing": SEAM}, LABELS)
    return table


def test_what_is_as_recorded_is_no_complaint(table):
    assert not complain(table, SEAM)
    assert table["django.db.thing"].signature == {"(self)": ["6.0", "6.1"]}


def test_a_seam_that_is_not_recorded_names_our_file_and_the_remedy():
    assert complain({}, SEAM) == [
        "django.db.thing of django 6.1: it is not in the record. It is used by "
        "django_async_ext/new.py: see that they still fit, then run "
        "scripts/django-suite --canary --record"
    ]


def test_a_public_name_need_not_be_recorded():
    assert not complain({}, Seam("class", used_by=["django_async_ext/new.py"]))


def test_another_signature_names_both(table):
    [complaint] = complain(table, Seam("(self, alias)", "abc"))
    assert "it was (self) and is (self, alias)." in complaint


def test_another_source_is_a_complaint(table):
    [complaint] = complain(table, Seam("(self)", "another"))
    assert "its source has changed" in complaint


def test_what_has_gone_names_our_file(table):
    assert complain(table, None) == [
        "django.db.thing is not in django 6.1 any more, or not used any more. Look at "
        "django_async_ext/new.py; then run scripts/django-suite --canary --record"
    ]


def test_what_a_file_uses_that_cannot_be_looked_at_has_not_gone(table):
    unseen = SEAM.used_by
    assert not list(complaints(table, {}, LABELS, unseen))
    add_to(table, {}, LABELS, unseen)
    assert table["django.db.thing"].labels() == {"6.0", "6.1"}


def test_an_unknown_series_is_held_against_the_newest_one_known(table):
    later = {"django": "6.2"}
    assert not complain(table, SEAM, later)
    [complaint] = complain(table, Seam("(self)", "another"), later)
    assert complaint.startswith("django.db.thing of django 6.2: its source has changed")


def test_another_patch_release_is_recorded_beside_the_first(table):
    add_to(table, {"django.db.thing": Seam("(self)", "another")}, LABELS)
    assert not complain(table, SEAM)
    assert not complain(table, Seam("(self)", "another"))


def test_recording_forgets_what_a_series_no_longer_has(table):
    add_to(table, {}, LABELS)
    assert table["django.db.thing"].labels() == {"6.0"}
    add_to(table, {}, {"django": "6.0"})
    assert not table


def test_the_record_is_read_as_it_was_written(table, tmp_path):
    kept = deepcopy(table)
    save_table(table, tmp_path / "seams.json")
    assert load_table(tmp_path / "seams.json") == kept


def test_signatures_look_alike_on_every_python():
    def function(
        self, one: int, two="2", *args: str, three, four=4, **rest
    ) -> None: ...

    assert signature_of(function) == (
        "(self, one, two=..., *args, three (keyword), four=... (keyword), **rest)"
    )
    assert signature_of(property(function)) == signature_of(function)
    assert signature_of(inspect) == "module"
    assert signature_of(Seam) == "class"
