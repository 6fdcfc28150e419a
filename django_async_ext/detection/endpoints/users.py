"""Users: logging in, permissions, passwords.

Contract: data only. Passwords block while they are hashed, all else by its queries.
"""

from __future__ import annotations

from django_async_ext.detection.endpoints.making import each, in_thread, shown_as, twins
from django_async_ext.detection.guards.families import Family
from django_async_ext.detection.rules import Endpoint

_AUTH = "django.contrib.auth"
_HASHERS = f"{_AUTH}.hashers"
_USER = f"{_AUTH}.base_user.AbstractBaseUser"

_MAKE = "await sync_to_async(make_password, thread_sensitive=False)(...)"
_SET = "await sync_to_async(user.set_password, thread_sensitive=False)(...)"
_CHECK = (
    "await acheck_password(...); up to Django 5.2 await sync_to_async(check_password, "
    "thread_sensitive=False)(...)"
)
_CREATE = "await sync_to_async(User.objects.create_user)(...)"
_AUTHENTICATE = "await sync_to_async(authenticate)(...)"

HASHERS = Family(
    "hashing",
    f"{_HASHERS}.BasePasswordHasher",
    {"encode": _MAKE, "verify": _CHECK, "harden_runtime": _CHECK},
    silent=(f"{_HASHERS}.MD5PasswordHasher",),
    inside="set ASYNC_EXT['ADOPT_DJANGO'] to True: it hashes in threads",
)

_PERMISSIONS = "get_user_permissions get_group_permissions get_all_permissions has_perm"

TABLE: tuple[Endpoint, ...] = (
    *twins(
        "auth", _AUTH, "authenticate login logout get_user update_session_auth_hash"
    ),
    shown_as(
        "auth",
        f"{_AUTH}.middleware",
        "get_user",
        "HttpRequest.user",
        "await request.auser()",
    ),
    *twins("auth", f"{_AUTH}.models.PermissionsMixin", _PERMISSIONS, "user"),
    *twins(
        "auth", f"{_AUTH}.models.PermissionsMixin", "has_perms has_module_perms", "user"
    ),
    *twins("auth", f"{_AUTH}.backends.BaseBackend", _PERMISSIONS, "backend"),
    *twins("auth", f"{_AUTH}.backends.BaseBackend", "authenticate get_user", "backend"),
    *twins("auth", f"{_AUTH}.backends.ModelBackend", _PERMISSIONS, "backend"),
    *twins(
        "auth",
        f"{_AUTH}.backends.ModelBackend",
        "authenticate get_user has_module_perms",
        "backend",
    ),
    *twins(
        "auth",
        f"{_AUTH}.backends.RemoteUserBackend",
        "authenticate configure_user",
        "backend",
    ),
    *twins(
        "auth", f"{_AUTH}.base_user.BaseUserManager", "get_by_natural_key", "manager"
    ),
    *twins("auth", f"{_AUTH}.models.GroupManager", "get_by_natural_key", "manager"),
    *twins(
        "auth", f"{_AUTH}.models.UserManager", "create_user create_superuser", "manager"
    ),
    *each(
        "auth",
        f"{_AUTH}.models.AbstractUser",
        "email_user",
        in_thread("user.email_user"),
    ),
    *each("hashing", _HASHERS, "check_password", _CHECK),
    *each("hashing", _HASHERS, "make_password", _MAKE),
    *twins("hashing", _USER, "check_password", "user"),
    *each("hashing", _USER, "set_password", _SET),
    # Awaitables that hash where they run, in some version of Django.
    *each("hashing", _HASHERS, "acheck_password", _CHECK),
    *each("hashing", f"{_AUTH}.backends.ModelBackend", "aauthenticate", _AUTHENTICATE),
    shown_as(
        "hashing",
        f"{_AUTH}.models.UserManager",
        "_acreate_user",
        "acreate_user",
        _CREATE,
    ),
)
FAMILIES = (HASHERS,)
