"""Attribution graphs of Gemma models from transcoders, traced, pruned and tested in Jupyter.

Example:
    >>> import gemma_circuits as gmc
    >>> model = gmc.load()
    >>> graph = gmc.attribute(model, "The capital of the state containing Dallas is", progress=False)
    >>> graph.targets[0].token
    ' Austin'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attribution import Direction, Estimate, LogitDifference, attribute, estimate
    from .data import Annotations, Circuit, Graph, Node, Nodes, Scores, Supernode, Target, errors
    from .data.errors import GemmaCircuitsError
    from .interventions import (
        Ablate,
        Add,
        Effect,
        Generation,
        Patch,
        Set,
        Steer,
        Sweep,
        generate,
        intervene,
        sweep,
    )
    from .models import ReplacementModel, load
    from .transcoders import Transcoder, catalogue, convert, open_transcoder

__version__ = "0.1.0"

# Imported on first use: torch and transformers take seconds, which `import gemma_circuits` should not.
_HOMES = {
    "attribution": ("Direction", "Estimate", "LogitDifference", "attribute", "estimate"),
    "data": ("Annotations", "Circuit", "Graph", "Node", "Nodes", "Scores", "Supernode", "Target", "errors"),
    "data.errors": ("GemmaCircuitsError",),
    "interventions": (
        "Ablate",
        "Add",
        "Effect",
        "Generation",
        "Patch",
        "Set",
        "Steer",
        "Sweep",
        "generate",
        "intervene",
        "sweep",
    ),
    "models": ("ReplacementModel", "load"),
    "transcoders": ("Transcoder", "catalogue", "convert", "open_transcoder"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Ablate",
    "Add",
    "Annotations",
    "Circuit",
    "Direction",
    "Effect",
    "Estimate",
    "GemmaCircuitsError",
    "Generation",
    "Graph",
    "LogitDifference",
    "Node",
    "Nodes",
    "Patch",
    "ReplacementModel",
    "Scores",
    "Set",
    "Steer",
    "Supernode",
    "Sweep",
    "Target",
    "Transcoder",
    "attribute",
    "catalogue",
    "convert",
    "errors",
    "estimate",
    "generate",
    "intervene",
    "load",
    "open_transcoder",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
