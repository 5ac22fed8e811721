"""Named steps, each timed and announced, and the table of their times."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class Steps:
    """Announces steps on `console`; `clock` gives seconds that only grow."""

    console: Console
    clock: Callable[[], float] = time.monotonic
    seconds: list[tuple[str, float]] = field(default_factory=list)
    current: str | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step that fails keeps its name in `current`, for the message about it."""
        self.current = name
        self.console.print(f"\n[bold]{name}[/]")
        started = self.clock()
        yield
        self.done(name, self.clock() - started)
        self.current = None

    def done(self, name: str, seconds: float) -> None:
        """Notes a step that has been carried out elsewhere."""
        self.seconds.append((name, seconds))
        self.console.print(f"[dim]{name}: {seconds:.1f} s[/]", highlight=False)

    @property
    def total(self) -> float:
        """Seconds of all steps together."""
        return sum(seconds for _, seconds in self.seconds)

    def table(self) -> Table:
        """One row for each step, and the total."""
        table = Table(box=None, pad_edge=False, show_footer=True)
        table.add_column("step", footer="total")
        table.add_column("seconds", justify="right", footer=f"{self.total:.1f}")
        for name, seconds in self.seconds:
            table.add_row(name, f"{seconds:.1f}")
        return table
