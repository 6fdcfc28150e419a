"""Signals: notes of what happens, and mail after a commit."""

from functools import partial

from django.core.mail import send_mail
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal, receiver

from shop.models import Book, Event, Order

reserved = Signal()


@receiver(post_save, sender=Book)
def note_book(instance, created, using, **kwargs):
    verb = "added" if created else "changed"
    Event.objects.using(using).create(text=f"{verb} {instance.title}")


@receiver(post_delete, sender=Book)
async def note_deletion(instance, using, **kwargs):
    await Event.objects.using(using).acreate(text=f"deleted {instance.title}")


@receiver(post_save, sender=Order)
def confirm(instance, created, **kwargs):
    if created:
        to = [instance.customer.email]
        mail = partial(send_mail, "Your order", "Thank you.", None, to)
        transaction.on_commit(mail)


@receiver(reserved)
def note_reservation(sender, book, **kwargs):
    Event.objects.create(text=f"reserved {book.title}")
