"""A progress bar for management commands."""

from typing import Protocol

WIDTH = 32


class Terminal(Protocol):
    """What the bar needs of Django's OutputWrapper."""

    def write(self, text: str, *, ending: str) -> None:
        """Write *text*."""

    def isatty(self) -> bool:
        """Tell whether somebody is watching."""


class ProgressBar:
    """One line that fills up; without a terminal, one plain line at the end."""

    def __init__(self, terminal: Terminal, title: str, total: int) -> None:
        self.terminal = terminal
        self.title = title
        self.total = total
        self.done = 0

    def advance(self, steps: int) -> None:
        """Count *steps* more."""
        self.done += steps
        finished = self.done >= self.total
        if finished or self.terminal.isatty():
            self._draw("\n" if finished else "")

    def _draw(self, ending: str) -> None:
        line = f"{self.title:<12} {self.done:>6,} of {self.total:,}"
        if self.terminal.isatty():
            filled = WIDTH * self.done // self.total
            line = f"\r{'█' * filled}{'░' * (WIDTH - filled)} {line}"
        self.terminal.write(line, ending=ending)
