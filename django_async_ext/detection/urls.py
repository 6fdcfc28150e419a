"""The URLs of the page of blocking calls: ``include()`` them below a path."""

from __future__ import annotations

from django.urls import path

from django_async_ext.detection import views

app_name = views.NAMESPACE
urlpatterns = [
    path("", views.page, name="page"),
    path("json/", views.as_json, name="json"),
    path("stacks/<str:report_id>/", views.stacks, name="stacks"),
]
