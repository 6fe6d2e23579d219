"""Widgets that draw graphs and circuits inside notebooks."""

from ..data import Circuit, display
from .card import FeatureCard
from .circuit import CircuitGraph
from .experiments import Change, Experiment
from .heatmap import TokenFeatureHeatmap
from .interventions import Interventions
from .laboratory import Laboratory
from .session import Session
from .workbench import Workbench, recover, show
from .workbench import open_view as open

__all__ = [
    "Change",
    "CircuitGraph",
    "Experiment",
    "FeatureCard",
    "Interventions",
    "Laboratory",
    "Session",
    "TokenFeatureHeatmap",
    "Workbench",
    "open",
    "recover",
    "show",
]


def _live(shown):
    """A circuit at the end of a cell is drawn live."""
    if not isinstance(shown, Circuit):
        return None
    bundle = CircuitGraph(shown)._repr_mimebundle_()
    return bundle[0] if isinstance(bundle, tuple) else bundle


display.register(_live)
