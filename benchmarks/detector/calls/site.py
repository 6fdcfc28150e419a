"""Django's other layers, called synchronously on the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import authenticate
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.staticfiles import finders
from django.core.cache import caches
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.mail import get_connection, mail_admins, send_mail
from django.template import engines
from django.template.loader import get_template

from benchmarks.detector.operations import blocking

if TYPE_CHECKING:
    from benchmarks.detector.world import World


@blocking("cache")
async def get_of_file_cache(w: World) -> None:
    caches["file"].get("there")  # blocks


@blocking("cache")
async def set_of_file_cache(w: World) -> None:
    caches["file"].set("key", "value")  # blocks


@blocking("cache")
async def get_of_database_cache(w: World) -> None:
    caches["database"].get("there")  # blocks


@blocking("cache")
async def get_of_redis_cache(w: World) -> None:
    caches["redis"].get("there")  # blocks


@blocking("cache")
async def get_or_set_of_redis_cache(w: World) -> None:
    caches["redis"].get_or_set("other", 1)  # blocks


@blocking("sessions")
async def session_in_redis(w: World) -> None:
    w.session("cache")["seen"]  # blocks


@blocking("sessions")
async def session_in_database(w: World) -> None:
    w.session("db").get("seen")  # blocks


@blocking("sessions")
async def session_in_file(w: World) -> None:
    w.session("file").save()  # blocks


@blocking("auth", stalls=True)
async def authenticate_user(w: World) -> None:
    authenticate(username=w.user.username, password="secret")  # blocks


@blocking("auth")
async def permission_of_user(w: World) -> None:
    w.user.has_perm("auth.add_user")  # blocks


@blocking("hashing", stalls=True)
async def check_of_password(w: World) -> None:
    check_password("secret", w.user.password)  # blocks


@blocking("hashing", stalls=True)
async def hash_of_password(w: World) -> None:
    make_password("secret")  # blocks


@blocking("hashing", stalls=True)
async def new_password(w: World) -> None:
    w.user.set_password("secret")  # blocks


@blocking("mail")
async def mail_over_smtp(w: World) -> None:
    send_mail("subject", "body", "a@localhost", ["b@localhost"])  # blocks


@blocking("mail")
async def mail_to_admins(w: World) -> None:
    mail_admins("subject", "body")  # blocks


@blocking("mail")
async def mail_into_files(w: World) -> None:
    backend = get_connection("django.core.mail.backends.filebased.EmailBackend")
    send_mail("s", "b", "a@localhost", ["b@localhost"], connection=backend)  # blocks


@blocking("storage")
async def save_into_storage(w: World) -> None:
    default_storage.save("upload.txt", ContentFile(b"content"))  # blocks


@blocking("storage")
async def open_from_storage(w: World) -> None:
    default_storage.open("there.txt").close()  # blocks


@blocking("storage")
async def exists_in_storage(w: World) -> None:
    default_storage.exists("there.txt")  # blocks


@blocking("templates")
async def load_template(w: World) -> None:
    get_template("page.html", using="uncached")  # blocks


@blocking("templates")
async def render_with_query(w: World) -> None:
    template = engines["django"].from_string("{% for u in users %}{{ u }}{% endfor %}")
    template.render({"users": w.User.objects.all()})  # blocks


@blocking("forms")
async def validate_form(w: World) -> None:
    w.form().is_valid()  # blocks


@blocking("staticfiles")
async def find_static_file(w: World) -> None:
    finders.find("site.css")  # blocks


@blocking("request")
async def body_on_disk(w: World) -> None:
    len(w.upload().body)  # blocks
