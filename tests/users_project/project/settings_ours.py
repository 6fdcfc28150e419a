"""The same project on the loop: what a user changes, and nothing else."""

from project.settings import *  # noqa: F403
from project.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = ["django_async_ext", *INSTALLED_APPS]
for database in DATABASES.values():
    database["ENGINE"] = database["ENGINE"].replace("django.", "django_async_ext.", 1)
