"""How Sphinx builds the documentation; ``scripts/check`` builds it."""

from django_async_ext import __version__

project = "django-async-ext"
project_copyright = "the django-async-ext contributors"
release = __version__

extensions = ["sphinx.ext.extlinks"]
extlinks = {
    "django": ("https://docs.djangoproject.com/en/stable/%s", "%s"),
}
exclude_patterns = ["_build"]
nitpicky = True
default_role = "any"
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "django-async-ext"
