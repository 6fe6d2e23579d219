"""One style: sizes of a journal's columns, fonts, colours that colour-blind readers tell apart."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import plotly.graph_objects as go

from ..data.errors import ArgumentError

Width: TypeAlias = Literal["single", "double"]
Theme: TypeAlias = Literal["light", "dark"]

DPI = 96
"""Plotly's pixels in an inch."""
WIDTHS = {"single": 3.3, "double": 6.8}
"""Inches."""
INK = {"light": "#1f2328", "dark": "#e6e6e6"}
MUTED = {"light": "#6b7280", "dark": "#9aa0a6"}
GRID = {"light": "#e3e5e8", "dark": "#3a3d42"}
PAPER = {"light": "#ffffff", "dark": "#16181c"}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
"""Okabe and Ito, "Color Universal Design" (2008), vermilion and blue first."""
BEFORE, AFTER = "#8a8f98", {"light": COLOURS[0], "dark": COLOURS[5]}
NEGATIVE, POSITIVE = "#d55e00", "#0072b2"
"""Ends of every signed scale."""
DIVERGING = ((0.0, NEGATIVE), (0.5, "#f2f2f2"), (1.0, POSITIVE))
FONT = "Arial, Helvetica, sans-serif"
POINTS = 7
"""Size of text, in points of 1/72 inch; titles are 1 larger, nothing is below 6."""


def pixels(points: float) -> float:
    """Points as Plotly's pixels."""
    return points * DPI / 72


def inches(width: Width | float) -> float:
    """A width in inches.

    Raises:
        ArgumentError: a width that there is not.
    """
    found = WIDTHS.get(width) if isinstance(width, str) else float(width)
    if not found or found <= 0:
        raise ArgumentError("width", expected="'single', 'double' or inches", got=repr(width))
    return found


def check_theme(theme: Theme) -> None:
    """Refuse what is no theme.

    Raises:
        ArgumentError: it is none.
    """
    if theme not in INK:
        raise ArgumentError("theme", expected="'light' or 'dark'", got=repr(theme))


def figure(
    *traces: Any, width: Width | float = "single", height: float = 2.4, theme: Theme = "light", **layout: Any
) -> go.Figure:
    """An empty figure in the style, with these traces.

    Args:
        traces: Plotly traces.
        width: of a "single" or "double" column, or inches.
        height: inches.
        theme: "light" or "dark".
        layout: Plotly's own settings of a layout, laid over the style.

    Raises:
        ArgumentError: a width or a theme that there is not.
    """
    check_theme(theme)
    axis = {
        "gridcolor": GRID[theme],
        "zerolinecolor": MUTED[theme],
        "zerolinewidth": 1,
        "linecolor": MUTED[theme],
        "ticks": "outside",
        "ticklen": 3,
        "tickcolor": MUTED[theme],
        "showline": True,
        "title_standoff": 4,
        "title_font_size": pixels(POINTS),
        "automargin": True,
    }
    axes = {"xaxis", "yaxis", *(key.split("_")[0] for key in layout if key[1:5] == "axis")}
    out = go.Figure(list(traces))
    out.update_layout(dict.fromkeys(sorted(axes), axis))
    out.update_layout(
        width=round(inches(width) * DPI),
        height=round(height * DPI),
        font={"family": FONT, "size": pixels(POINTS), "color": INK[theme]},
        title_font_size=pixels(POINTS + 1),
        paper_bgcolor=PAPER[theme],
        plot_bgcolor=PAPER[theme],
        colorway=COLOURS,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"bgcolor": "rgba(0,0,0,0)"},
        hoverlabel={"font_family": FONT},
    )
    out.update_layout(**layout)
    return out
