"""The figure of a sweep: what each dose does to the next token."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import plotly.graph_objects as go

from ..attribution.targets import find_token
from ..data import Supernode
from ..data.errors import ArgumentError
from ..interventions import Sweep
from ..interventions.values import describe
from ..models.prompt import token_text
from . import style
from .drawing import draw
from .text import apart, markup, readable

MOST = len(style.COLOURS)
"""Tokens that are told apart."""
ROW = 0.135
"""Height in inches of a row, where values are names."""


@draw.register(Sweep)
def sweep_figure(
    sweep: Sweep,
    *,
    tokens: Sequence[str | int] | None = None,
    difference: tuple[str | int, str | int] | None = None,
    width: style.Width | float = "single",
    height: float | None = None,
    theme: style.Theme = "light",
) -> go.Figure:
    """Dose and response: probabilities of tokens, or a logit difference, against the value of each experiment.

    Numbers run along the horizontal axis; other values, such as nodes, are rows. The dashed line is the prompt before
    any intervention.

    Args:
        sweep: from `sweep`.
        tokens: as text or ids; None for those that are the likeliest before or in some experiment, the first seven.
        difference: (a, b): the logit of `a` minus that of `b` instead.
        width: "single" or "double" column, or inches.
        height: inches; None for 2.4, or what rows need.
        theme: "light" or "dark".

    Raises:
        ArgumentError: both of tokens and a difference, too many or no tokens, or as `style.figure`.
        TargetError: not one token, or an id outside the vocabulary.

    Example:
        >>> sweep.figure(difference=(" Austin", " Sacramento")).write_image("sweep.pdf")  # doctest: +SKIP
    """
    if tokens is not None and (difference is not None or not 0 < len(tokens) <= MOST):
        got = "a difference too" if difference is not None else str(len(tokens))
        raise ArgumentError("tokens", expected=f"1 to {MOST}, and no difference", got=got)
    curves = _difference(sweep, *difference) if difference is not None else _probabilities(sweep, tokens)
    numeric = all(isinstance(value, Real) for value in sweep.values)
    shown = [value.name if isinstance(value, Supernode) else describe(value) for value in sweep.values]
    names = [markup(readable(name, 40)) for name in shown]
    curve_names = apart([name for name, *_ in curves])
    rows = list(range(len(sweep)))
    order = sorted(rows, key=lambda row: sweep.values[row]) if numeric else rows
    doses = [sweep.values[row] for row in order] if numeric else rows
    traces = []
    for name, (_, response, _), colour in zip(curve_names, curves, style.COLOURS):
        sorted_response = [response[row] for row in order]
        axes = {"x": doses, "y": sorted_response} if numeric else {"x": sorted_response, "y": doses}
        traces.append(
            go.Scatter(
                **axes,
                name=name,
                mode="lines+markers" if numeric else "markers",
                line={"color": colour, "width": 1.5},
                marker={"color": colour, "size": 4 if numeric else 6},
                customdata=[names[row] for row in order],
                hovertemplate="%{customdata}: %{" + ("y" if numeric else "x") + ":.4f}",
            )
        )
    response = "logit difference" if difference is not None else "probability of the next token"
    layout: dict[str, Any] = {"xaxis_title_text": "value", "yaxis_title_text": response}
    if not numeric:
        ticks = {"tickvals": rows, "ticktext": names, "range": [len(rows) - 0.5, -0.5], "ticks": "", "zeroline": False}
        layout = {"xaxis_title_text": response, "yaxis": ticks}
    if difference is None:
        layout["yaxis_range" if numeric else "xaxis_range"] = [-0.03, 1.03]
    figure = style.figure(
        *traces,
        width=width,
        height=height or (2.4 if numeric else 0.8 + ROW * max(len(rows), 6)),
        theme=theme,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
        **layout,
    )
    for (_, _, before), colour in zip(curves, style.COLOURS):
        line = figure.add_hline if numeric else figure.add_vline
        line(before, line={"color": colour, "width": 1, "dash": "dot"})
    return figure


def _probabilities(sweep: Sweep, tokens: Sequence[str | int] | None) -> list[tuple[str, list[float], float]]:
    """Name, responses and baseline of each token."""
    ids = sweep.leading[:MOST] if tokens is None else [find_token(sweep.model, token) for token in tokens]
    before = sweep.baseline_logits.softmax(-1)
    return [(token_text(sweep.model.tokenizer, i), sweep.probabilities[:, i].tolist(), before[i].item()) for i in ids]


def _difference(sweep: Sweep, a: str | int, b: str | int) -> list[tuple[str, list[float], float]]:
    first, second = find_token(sweep.model, a), find_token(sweep.model, b)
    names = (readable(token_text(sweep.model.tokenizer, i)) for i in (first, second))
    before = (sweep.baseline_logits[first] - sweep.baseline_logits[second]).item()
    return [(" − ".join(names), sweep.logit_difference(a, b).tolist(), before)]
