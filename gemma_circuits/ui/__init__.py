"""Widgets that draw graphs and circuits inside notebooks."""

from ..data import Circuit, display
from .card import FeatureCard
from .circuit import CircuitGraph
from .heatmap import TokenFeatureHeatmap
from .session import Session

__all__ = ["CircuitGraph", "FeatureCard", "Session", "TokenFeatureHeatmap"]


def _live(shown):
    """A circuit at the end of a cell is drawn live."""
    if not isinstance(shown, Circuit):
        return None
    bundle = CircuitGraph(shown)._repr_mimebundle_()
    return bundle[0] if isinstance(bundle, tuple) else bundle


display.register(_live)
