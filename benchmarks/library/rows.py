"""How many rows there are and what a new one holds.

Apart from the models, because modes without Django need this too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

BOOKS = 5_000
AUTHORS = 500
PUBLISHERS = 100


def new_entry(pk: int) -> dict[str, Any]:
    return {
        "title": f"Entry {pk}",
        "body": "word " * 20,
        "rank": pk,
        "made": datetime.now(UTC),
    }
