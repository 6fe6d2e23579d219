"""The figure of a table of swaps: a matrix of bases by sources."""

from __future__ import annotations

import plotly.graph_objects as go

from ..interventions import Swaps
from . import style
from .drawing import draw
from .text import LINE, markup, readable

TITLE = "probability of the source's answer"


@draw.register(Swaps)
def swaps_figure(
    swaps: Swaps,
    *,
    width: style.Width | float = "single",
    height: float | None = None,
    theme: style.Theme = "light",
) -> go.Figure:
    """A heatmap: the probability of the source's answer in the base's prompt once the source's supernode is there.

    A cross marks a pair whose base was not answered rightly before; pairs that were not run are blank.

    Args:
        swaps: from `swap`.
        width: "single" or "double" column, or inches.
        height: inches; None for square cells.
        theme: "light" or "dark".

    Raises:
        ArgumentError: as `style.figure`.

    Example:
        >>> swaps.figure(width="double").write_image("swaps.pdf")  # doctest: +SKIP
    """
    style.check_theme(theme)
    bases = list(dict.fromkeys(row.base for row in swaps.rows))
    sources = list(dict.fromkeys(row.source for row in swaps.rows))
    sources.sort(key=lambda name: bases.index(name) if name in bases else len(bases))
    grid: list[list[float | None]] = [[None] * len(sources) for _ in bases]
    told: list[list[str]] = [[""] * len(sources) for _ in bases]
    for row in swaps.rows:
        at, there = bases.index(row.base), sources.index(row.source)
        grid[at][there] = row.answer_after
        told[at][there] = markup(
            f"{row.source} in {row.base}: {row.answer!r} {row.answer_before:.3f} to {row.answer_after:.3f}; "
            f"the likeliest is {row.after.token!r}"
        )
    unknown = list(dict.fromkeys(bases.index(row.base) for row in swaps.rows if not row.known))
    traces: list = [
        go.Heatmap(
            z=grid,
            zmin=0,
            zmax=1,
            text=told,
            hovertemplate="%{text}<extra></extra>",
            hoverongaps=False,
            colorscale=[(0, style.GRID[theme]), (1, style.AFTER[theme])],
            xgap=1,
            ygap=1,
            colorbar={
                "title": {"text": TITLE, "side": "right", "font_size": style.pixels(style.POINTS)},
                "thickness": 8,
            },
        )
    ]
    if unknown:
        crosses = [(there, at) for at in unknown for there in range(len(sources)) if grid[at][there] is not None]
        x, y = zip(*crosses)
        marker = {"symbol": "x-thin", "size": 5, "line": {"width": 1, "color": style.MUTED[theme]}}
        traces.append(go.Scatter(x=x, y=y, mode="markers", marker=marker, hoverinfo="skip", showlegend=False))
    inches = style.inches(width)
    cell = (inches - 1.6) / len(sources)
    size = max(4.0, min(style.POINTS, cell * 72 / LINE))
    return style.figure(
        *traces,
        width=width,
        height=height or 1.2 + max(cell, size / 72) * len(bases),
        theme=theme,
        xaxis=_names(sources, size) | {"title_text": "source", "tickangle": -90},
        yaxis=_names(bases, size) | {"title_text": "base", "range": [len(bases) - 0.5, -0.5]},
    )


def _names(names: list[str], size: float) -> dict:
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [markup(readable(name)) for name in names],
        "tickfont_size": style.pixels(size),
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
    }
