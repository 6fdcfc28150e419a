"""Requests over HTTP: this project's handler beside stock Django's and its peers.

``scripts/bench --http`` runs it, on Linux, with ``wrk`` as the load generator. Imports
run downwards only: ``run`` → ``report`` → ``rounds`` → ``server``, ``wrk``, ``answers``
→ ``peers`` and ``cases``. The measured side is ``sites``: one process for each peer.
"""
