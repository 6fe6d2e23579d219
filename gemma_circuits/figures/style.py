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
BEFORE, AFTER = "#8a8f98", COLOURS[0]
NEGATIVE, POSITIVE = "#d55e00", "#0072b2"
"""Ends of every signed scale."""
DIVERGING = ((0.0, NEGATIVE), (0.5, "#f2f2f2"), (1.0, POSITIVE))
FONT = "Arial, Helvetica, sans-serif"
POINTS = 7
"""Size of text, in points of 1/72 inch; titles are 1 larger, nothing is below 6."""


def pixels(points: float) -> float:
    """Points as Plotly's pixels."""
    return points * DPI / 72


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
    inches = WIDTHS.get(width) if isinstance(width, str) else float(width)
    if not inches or inches <= 0:
        raise ArgumentError("width", expected="'single', 'double' or inches", got=repr(width))
    if theme not in INK:
        raise ArgumentError("theme", expected="'light' or 'dark'", got=repr(theme))
    axis = {
        "gridcolor": GRID[theme],
        "zerolinecolor": MUTED[theme],
        "linecolor": MUTED[theme],
        "ticks": "outside",
        "ticklen": 3,
        "tickcolor": MUTED[theme],
        "showline": True,
        "title_standoff": 4,
        "automargin": True,
    }
    out = go.Figure(list(traces))
    out.update_layout(
        width=round(inches * DPI),
        height=round(height * DPI),
        font={"family": FONT, "size": pixels(POINTS), "color": INK[theme]},
        title_font_size=pixels(POINTS + 1),
        paper_bgcolor=PAPER[theme],
        plot_bgcolor=PAPER[theme],
        colorway=COLOURS,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis=axis,
        yaxis=axis,
        legend={"bgcolor": "rgba(0,0,0,0)"},
        hoverlabel={"font_family": FONT},
    )
    out.update_layout(**layout)
    return out
