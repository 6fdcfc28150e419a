from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.detection.stock.models import Author


async def awaiting(request: HttpRequest) -> HttpResponse:
    """Do all that a view does, as one should."""
    user = await request.auser()
    await request.session.aset("x", 1)
    assert await request.session.aget("x") == 1
    assert not await user.ahas_perm("auth.add_user")
    messages.info(request, "Hello")
    return HttpResponse(str(await Author.objects.acount()))


urlpatterns = [path("awaiting/", awaiting)]
