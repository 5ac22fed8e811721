"""Colours, light and dark."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """What charts need to know; everything else is in page.css."""

    text: str
    muted: str
    line: str
    surface: str
    palette: tuple[str, ...]
    named: dict[str, str]
    """Grafana's names."""

    def color(self, name: str) -> str:
        """A named colour, or a colour of CSS."""
        return self.named.get(name, name)

    def background(self, name: str) -> str:
        """The same, dark enough for white text."""
        return LIGHT.color(name)


LIGHT = Theme(
    text="#1d2330",
    muted="#5d6675",
    line="#e6e9ee",
    surface="#ffffff",
    palette=(
        "#1f6feb", "#e07b00", "#12946a", "#c2388c", "#7a4fd6", "#b08900", "#0b93a5", "#d43f3f",
        "#566579", "#8f5a2c", "#5b9bf3", "#f2a654", "#5cbf9b", "#dd7fb9", "#a98ae8", "#8a9a2b",
        "#0d4a9e", "#8f4d00", "#0a5f45", "#7d1f58",
    ),
    named={"green": "#12855f", "red": "#d1303f", "yellow": "#b08900", "orange": "#d06f00", "blue": "#1f6feb"},
)  # fmt: skip
DARK = Theme(
    text="#dfe3ea",
    muted="#98a2b3",
    line="#2b313c",
    surface="#171b22",
    palette=(
        "#5b9dff", "#ffa04d", "#44c998", "#f178bd", "#ad8fff", "#e5bf3d", "#3ac4d4", "#ff6f6f",
        "#a5b3c4", "#cfa274", "#3b74c9", "#c4752a", "#2d9670", "#b84f8b", "#7c62c9", "#b5c44d",
        "#a8cbff", "#ffd0a3", "#9be8ca", "#fac0dd",
    ),
    named={"green": "#3fc28f", "red": "#f2616b", "yellow": "#e5bf3d", "orange": "#ffa04d", "blue": "#5b9dff"},
)  # fmt: skip
