"""The atlas's addresses."""

from django.urls import include, path

from atlas import api, views

api_patterns = [
    path("", api.index, name="index"),
    path("countries/", api.countries, name="countries"),
    path("countries/<str:code>/", api.country, name="country"),
    path("cities/", api.cities, name="cities"),
    path("cities/<int:pk>/", api.city, name="city"),
    path("cities.ndjson", api.stream, name="stream"),
    path("dashboard/", api.dashboard, name="dashboard"),
    path("process/", api.process, name="process"),
    path("crowd/", api.crowd, name="crowd"),
]

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("countries/", views.countries, name="countries"),
    path("countries/<str:code>/", views.country, name="country"),
    path("search/", views.search, name="search"),
    path("compare/", views.comparison, name="comparison"),
    path("api/", include((api_patterns, "api"))),
]
