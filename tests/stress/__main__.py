"""Runs the soak, which imports models: Django must be set up before it."""

import os
import sys
from importlib import import_module

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()
sys.exit(import_module("tests.stress.soak").main())
