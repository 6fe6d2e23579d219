"""Plotly figures of graphs, circuits and experiments, in one style."""

from . import circuit, diff, effect, faithfulness, swaps, sweep  # noqa: F401  each tells `draw` what it draws
from .drawing import draw
from .style import figure

__all__ = ["draw", "figure"]
