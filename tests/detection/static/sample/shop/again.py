"""Passes names on."""

from .helpers import load_prices as prices
from .models import *  # noqa: F403

__all__ = ["prices"]
