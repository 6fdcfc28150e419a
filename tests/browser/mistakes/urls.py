"""The views, the admin, the page of blocking calls, and the figures."""

from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path

from django_async_ext.detection import views as detection
from tests.browser.mistakes import views

urlpatterns = [
    path("plaintext", lambda request: HttpResponse("Hello, World!")),
    path("admin/", admin.site.urls),
    path("blocking/", include("django_async_ext.detection.urls")),
    path("metrics", detection.metrics),
    *views.urlpatterns,
]
