"""Faithfulness: predicted against measured, with chance beside it, in four panels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..interventions import Faithfulness
from ..interventions.faithfulness.records import PUBLISHED, FeatureEffect, number
from . import style
from .drawing import draw
from .text import markup, readable

PANELS = (
    ("a", "Effect on the target logits", "predicted, over all paths", "measured"),
    ("b", "Influence on the next token", "influence on the targets", "KL divergence, nats"),
    ("c", "Influence on later features", "influence on the feature", "relative change"),
    ("d", "Change of later features", "layers after the ablated feature", "cosine to the predicted"),
)
"""Letter, title, axes."""
COMPARED = (("all paths", "target logits"), ("influence", "KL divergence"), ("influence", "later features"))
"""Correlations of panels a to c."""
LEFT, RIGHT = (0.0, 0.43), (0.57, 1.0)
LOWER, UPPER = (0.0, 0.38), (0.56, 0.94)
"""Places of the panels, as shares of the figure's inside."""


@draw.register
def faithfulness_figure(
    report: Faithfulness,
    *,
    width: style.Width | float = "double",
    height: float = 5.4,
    theme: style.Theme = "light",
) -> go.Figure:
    """Predicted against measured: of the target logits, the next token, later features, and over layers.

    Colour marks ablated features, grey random features in their place: what chance looks like. Panels b and c are
    logarithmic: what is zero is not drawn there.

    Args:
        report: from `faithfulness`.
        width: "single" or "double" column, or inches.
        height: inches.
        theme: "light" or "dark".

    Raises:
        ArgumentError: as `style.figure`.

    Example:
        >>> faithfulness(model, graph).figure().write_image("faithfulness.pdf")  # doctest: +SKIP
    """
    layout: dict[str, Any] = {
        "annotations": [_title(report, panel) for panel in range(4)],
        "legend": {"orientation": "h", "x": 0.5, "y": 1.0, "xanchor": "center", "yanchor": "bottom"},
    }
    for panel, (_, _, x, y) in enumerate(PANELS):
        logarithmic = {"type": "log", "nticks": 5, "exponentformat": "power"} if panel in (1, 2) else {"nticks": 6}
        end = str(panel + 1) if panel else ""
        across, up = LEFT if panel % 2 == 0 else RIGHT, UPPER if panel < 2 else LOWER
        layout[f"xaxis{end}"] = {"title_text": x, "domain": across, "anchor": f"y{end}", **logarithmic}
        layout[f"yaxis{end}"] = {"title_text": y, "domain": up, "anchor": f"x{end}", **logarithmic}
    layout["xaxis4"] |= {"dtick": max(1, len(report.perturbation) // 6)}
    layout["yaxis4"] |= {"range": [min([-0.05, *(d.null_cosine.low - 0.05 for d in report.perturbation)]), 1.05]}
    traces = [*_points(report, theme), *_by_distance(report, theme)]
    return style.figure(*traces, width=width, height=height, theme=theme, **layout)


def _points(report: Faithfulness, theme: style.Theme) -> Iterator[go.Scatter]:
    rows, pairs = report.features, report.pairs
    names, edges = [_name(row) for row in rows], [f"node {pair.source} on node {pair.target}" for pair in pairs]
    predicted = [r.total for r in rows], [r.influence for r in rows], [pair.influence for pair in pairs]
    measured = [r.measured for r in rows], [r.kl for r in rows], [abs(pair.measured) for pair in pairs]
    chance = [r.null_measured for r in rows], [r.null_kl for r in rows], [abs(pair.null) for pair in pairs]
    ends = [min(*predicted[0], *measured[0]), max(*predicted[0], *measured[0])]
    line = {"color": style.MUTED[theme], "width": 1, "dash": "dot"}
    yield go.Scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for panel, texts in enumerate((names, names, edges)):
        for values, kind, colour in ((chance, "random", style.BEFORE), (measured, "ablated", style.AFTER[theme])):
            yield go.Scatter(
                x=_drawn(predicted[panel], panel > 0),
                y=_drawn(values[panel], panel > 0),
                mode="markers",
                text=texts,
                name=f"{kind} features",
                legendgroup=kind,
                showlegend=panel == 0,
                hovertemplate="%{text}<br>predicted %{x:.3g}<br>measured %{y:.3g}<extra>" + kind + "</extra>",
                marker={"color": colour, "size": 3 if panel == 2 else 5, "opacity": 0.4 if panel == 2 else 0.75},
                **_axes(panel),
            )


def _by_distance(report: Faithfulness, theme: style.Theme) -> Iterator[go.Scatter]:
    for field, kind, colour in (("null_cosine", "random", style.BEFORE), ("cosine", "ablated", style.AFTER[theme])):
        found = [(d.layers, getattr(d, field)) for d in report.perturbation]
        yield go.Scatter(
            x=[layers for layers, _ in found],
            y=[interval.value for _, interval in found],
            error_y={
                "array": [interval.high - interval.value for _, interval in found],
                "arrayminus": [interval.value - interval.low for _, interval in found],
                "thickness": 1,
                "width": 3,
            },
            mode="lines+markers",
            line={"color": colour, "width": 1.5},
            marker={"size": 5},
            legendgroup=kind,
            showlegend=False,
            hovertemplate="%{x} layers on: %{y:.2f}<extra>" + kind + "</extra>",
            **_axes(3),
        )
    yield go.Scatter(
        x=[1],
        y=[PUBLISHED["cosine"]],
        mode="markers",
        name="published, one layer on",
        marker={"color": style.NEGATIVE, "size": 7, "symbol": "diamond-open", "line_width": 1.5},
        hovertemplate="Ameisen et al. 2025: about %{y}<extra></extra>",
        **_axes(3),
    )


def _title(report: Faithfulness, panel: int) -> dict[str, Any]:
    letter, title, _, _ = PANELS[panel]
    below = "mean over ablated features"
    if panel < 3:
        found, chance = (report.correlation(*COMPARED[panel], null=null).spearman.value for null in (False, True))
        below = f"Spearman {number(found)}, by chance {number(chance)}"
    place = {name: axis + " domain" for name, axis in zip(("xref", "yref"), _axes(panel).values())}
    text = f"<b>{letter}</b>  {title}<br>{below}"
    corner = {"x": 0, "y": 1, "yshift": 3, "xanchor": "left", "yanchor": "bottom", "align": "left"}
    return {**place, **corner, "text": text, "showarrow": False}


def _axes(panel: int) -> dict[str, str]:
    end = str(panel + 1) if panel else ""
    return {"xaxis": f"x{end}", "yaxis": f"y{end}"}


def _name(row: FeatureEffect) -> str:
    return markup(f"layer {row.layer}, feature {row.feature} on {readable(row.token)} ({row.position})")


def _drawn(values: Sequence[float], logarithmic: bool) -> list[float | None]:
    """Without NaN and, on a logarithmic axis, what is not positive."""
    return [None if np.isnan(v) or (logarithmic and v <= 0) else v for v in values]
