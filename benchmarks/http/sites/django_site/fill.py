"""Makes the tables of the site and fills them, in a process of its own.

Usage: ``python -m benchmarks.http.sites.django_site.fill``, with the variables of
``settings``.
"""

from __future__ import annotations

import random
from importlib import import_module
from typing import Any

from benchmarks.http.cases import FORTUNES, ROWS, SESSION_KEY, USERNAME, VISITS


def main() -> None:
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    insert(random.Random(0))
    log_in()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def insert(chance: random.Random) -> None:
    from benchmarks.http.sites.django_site.models import Fortune, World

    numbers = [chance.randint(1, ROWS) for _ in range(ROWS)]
    World.objects.bulk_create(World(randomnumber=number) for number in numbers)
    Fortune.objects.bulk_create(Fortune(message=message) for message in FORTUNES)


def log_in() -> None:
    """A user, and a session with the known key, as ``login()`` would leave it."""
    from django.conf import settings
    from django.contrib import auth

    users: Any = auth.get_user_model().objects
    user = users.create_user(USERNAME)
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[auth.SESSION_KEY] = str(user.pk)
    store[auth.BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
    store["visits"] = VISITS
    store._session_key = SESSION_KEY
    store.save(must_create=True)


if __name__ == "__main__":
    main()
