"""Benchmarks of django-async-ext beside its peers.

``scripts/bench`` runs them. Imports run downwards only: ``__main__`` → ``report``,
``profile`` and ``scale`` → ``rounds`` → ``child`` and ``database`` → ``protocol`` and
``cases``. The measured side is a process of its own per mode, ``worker`` → ``load`` and
``modes`` → ``sampler``, ``protocol`` and ``cases``, so that no mode is charged for
another's imports.
"""
