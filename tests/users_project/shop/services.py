"""What the shop does, in synchronous code as in asynchronous."""

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models import F

from shop.models import Book, Order


class SoldOutError(Exception):
    """No copy is left."""


@transaction.atomic
def buy(customer, book_id):
    book = Book.objects.select_for_update().get(pk=book_id)
    order = Order.objects.create(customer=customer, book=book)
    if not book.stock:
        raise SoldOutError(book.title)
    Book.objects.filter(pk=book_id).update(stock=F("stock") - 1)
    return order


async def abuy(customer, book_id):
    return await sync_to_async(buy)(customer, book_id)
