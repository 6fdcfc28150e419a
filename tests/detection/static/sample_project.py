"""The sample project, and what the marks in its files expect to be found."""

import re
from pathlib import Path

from django_async_ext.detection.static.analysis import Analysis
from django_async_ext.detection.static.findings import Finding
from django_async_ext.detection.static.sources import below

SAMPLE = Path(__file__).parent / "sample"
SHOP = SAMPLE / "shop"
FILES = sorted(SHOP.rglob("*.py"))
_MARK = re.compile(r"# blocks: (.*)")


def expected(path: Path) -> dict[int, list[str]]:
    """A part of what is said of each line with a mark; several, by semicolons."""
    return {
        number: mark[1].split("; ")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (mark := _MARK.search(line))
    }


def found(package: Path = SHOP) -> list[Finding]:
    """All that is found in a package that is not installed."""
    sources = {each.name: each for each in below(package.name, package)}
    return Analysis(sources).findings()


def said(finding: Finding) -> str:
    return f"{finding.text()} {finding.remedy}"
