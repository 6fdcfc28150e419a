"""The views, so that Django has read them."""

from django.urls import path
from shop import blocking

urlpatterns = [path("", blocking.queries)]
