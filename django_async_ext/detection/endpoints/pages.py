"""Templates, forms, shortcuts, messages: what a view makes a page of.

Contract: data only. All of it leads to queries, caches or files.
"""

from __future__ import annotations

from django_async_ext.detection.endpoints.making import each, in_thread, twins
from django_async_ext.detection.rules import Endpoint

_TEMPLATE = "django.template"
_RENDER = "await sync_to_async({0})(...); or load all that the template shows before"
_FORMS = "django.forms"
_MESSAGES = "django.contrib.messages"

TABLE: tuple[Endpoint, ...] = (
    *each(
        "templates",
        f"{_TEMPLATE}.loader",
        "get_template select_template",
        in_thread("get_template"),
    ),
    *each(
        "templates",
        f"{_TEMPLATE}.loader",
        "render_to_string",
        _RENDER.format("render_to_string"),
    ),
    *each("templates", "django.shortcuts", "render", _RENDER.format("render")),
    *each(
        "templates",
        _TEMPLATE,
        "base.Template.render backends.django.Template.render "
        "backends.jinja2.Template.render",
        _RENDER.format("template.render"),
    ),
    *each(
        "templates",
        f"{_TEMPLATE}.response.SimpleTemplateResponse",
        "render",
        _RENDER.format("response.render"),
    ),
    *each(
        "templates",
        "django.forms.utils.RenderableMixin",
        "render",
        _RENDER.format("form.render"),
    ),
    *each(
        "forms",
        _FORMS,
        "forms.BaseForm.is_valid forms.BaseForm.errors forms.BaseForm.full_clean "
        "formsets.BaseFormSet.is_valid formsets.BaseFormSet.errors "
        "formsets.BaseFormSet.full_clean",
        in_thread("form.is_valid"),
    ),
    *each(
        "forms",
        _FORMS,
        "models.BaseModelForm.save models.BaseModelFormSet.save",
        in_thread("form.save"),
    ),
    *each(
        "forms",
        f"{_FORMS}.models.ModelChoiceIterator",
        "__iter__ __len__ __bool__",
        _RENDER.format("render"),
    ),
    *twins("shortcuts", "django.shortcuts", "get_object_or_404 get_list_or_404"),
    *each(
        "sessions",
        f"{_MESSAGES}.api",
        "add_message get_messages",
        "await sync_to_async(messages.add_message)(...); or load the session before",
    ),
    *each(
        "sessions",
        f"{_MESSAGES}.storage.base.BaseStorage",
        "__iter__ __len__ __contains__ add update",
        "await sync_to_async(messages.add_message)(...); or load the session before",
    ),
)
