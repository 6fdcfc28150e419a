"""Fills up the stock."""

from django.core.management.base import BaseCommand
from django.db import transaction

from shop.models import Book


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("copies", type=int)

    @transaction.atomic
    def handle(self, *args, copies, **options):
        count = Book.objects.filter(stock=0).update(stock=copies)
        self.stdout.write(f"{count} restocked")
