"""Django's hasher, with as much work as keeps the loop for some 100 ms."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class Hasher(PBKDF2PasswordHasher):
    algorithm = "benchmark"
    iterations = 250_000
