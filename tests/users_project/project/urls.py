"""The addresses of the shop."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from shop import views

urlpatterns = [
    path("", views.home, name="home"),
    path("books/", views.books, name="books"),
    path("books/<int:pk>/", views.book, name="book"),
    path("books/<int:pk>/order/", views.order, name="order"),
    path("books/<int:pk>/review/", views.review, name="review"),
    path("reserve/<int:pk>/", views.reserve, name="reserve"),
    path("account/", views.account, name="account"),
    path("stream/", views.stream, name="stream"),
    path("login/", LoginView.as_view(template_name="shop/form.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
