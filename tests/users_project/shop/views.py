"""Synchronous and asynchronous views, side by side."""

import asyncio

from django.contrib.auth.decorators import login_required
from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import aget_object_or_404, get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from shop.forms import ReviewForm
from shop.models import Book, Event
from shop.receivers import reserved
from shop.services import SoldOutError, abuy, buy


def home(request):
    return render(request, "shop/home.html", {"books": Book.objects.all()})


async def books(request):
    found = [book.title async for book in Book.objects.order_by("title")]
    count, events = await asyncio.gather(Book.objects.acount(), Event.objects.acount())
    return JsonResponse({"books": found, "count": count, "events": events})


async def book(request, pk):
    found = await aget_object_or_404(Book.objects.select_related("author"), pk=pk)
    tags = [tag.name async for tag in found.tags.all()]
    data = {"title": found.title, "author": found.author.name, "tags": tags}
    return JsonResponse(data)


@login_required
@require_POST
def order(request, pk):
    try:
        made = buy(request.user, pk)
    except SoldOutError:
        return JsonResponse({"error": "sold out"}, status=409)
    return JsonResponse({"order": made.pk}, status=201)


async def reserve(request, pk):
    user = await request.auser()
    if not user.is_authenticated:
        return JsonResponse({"error": "who are you?"}, status=403)
    made = await abuy(user, pk)
    await reserved.asend(sender=None, book=made.book)
    await request.session.aset("reserved", made.pk)
    return JsonResponse({"order": made.pk}, status=201)


def review(request, pk):
    reviewed = get_object_or_404(Book, pk=pk)
    form = ReviewForm(request.POST or None)
    if form.is_valid():
        form.instance.book = reviewed
        form.save()
        return redirect("home")
    return render(request, "shop/form.html", {"form": form})


@login_required
async def account(request):
    user = await request.auser()
    orders = [order.book.title async for order in user.order_set.select_related("book")]
    return JsonResponse({"user": user.username, "orders": orders})


async def stream(request):
    async def lines():
        async for title in Book.objects.values_list("title", flat=True):
            yield f"{title}\n"

    return StreamingHttpResponse(lines())
