"""The application of the shelf, with a label of its own."""

from django.apps import AppConfig


class ShelfConfig(AppConfig):
    name = "tests.browser.site"
    label = "shelf"
    default_auto_field = "django.db.models.BigAutoField"
