"""The detector of blocking calls beside others: what each finds, and what ours costs.

``scripts/bench --detector`` runs it. Imports run downwards only: ``run`` → ``report`` →
``rounds`` → ``operations``. The measured side is a process of its own for each
technique and loop, ``child`` → ``techniques`` and ``project`` → ``calls`` → ``world``
and ``operations``; and ``overhead``, a process of its own for each mode.
"""
