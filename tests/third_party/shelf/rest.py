"""Django REST framework and django-filter: nothing here knows of an event loop."""

import django_filters
from rest_framework import routers, serializers, viewsets

from tests.third_party.shelf.models import Author, Book


class BookSerializer(serializers.ModelSerializer):
    # A relation that is looked up when the answer is made, and when one is received.
    author = serializers.SlugRelatedField("name", queryset=Author.objects.all())

    class Meta:
        model = Book
        fields = ("id", "title", "pages", "author")


class BookFilter(django_filters.FilterSet):
    at_least = django_filters.NumberFilter(field_name="pages", lookup_expr="gte")

    class Meta:
        model = Book
        fields = ("author__name",)


class BookViewSet(viewsets.ModelViewSet):
    queryset = Book.objects.all()
    serializer_class = BookSerializer
    filterset_class = BookFilter


router = routers.DefaultRouter()
router.register("books", BookViewSet)
