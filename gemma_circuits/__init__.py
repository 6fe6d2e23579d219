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
    from . import features, figures
    from .attribution import Direction, Estimate, LogitDifference, attribute, estimate
    from .data import (
        Annotations,
        Circuit,
        Diff,
        Graph,
        Node,
        Nodes,
        Paths,
        Scores,
        Supernode,
        Target,
        diff,
        errors,
    )
    from .data.errors import GemmaCircuitsError
    from .interventions import (
        Ablate,
        Add,
        Effect,
        Faithfulness,
        Generation,
        Patch,
        Set,
        Steer,
        Swap,
        SwapCase,
        Swaps,
        Sweep,
        faithfulness,
        generate,
        intervene,
        swap,
        sweep,
    )
    from .models import ReplacementModel, load
    from .transcoders import Transcoder, catalogue, convert, open_transcoder
    from .ui import (
        CircuitGraph,
        FeatureCard,
        Interventions,
        TokenFeatureHeatmap,
        Workbench,
        open,
        recover,
        show,
    )

__version__ = "0.1.0"

# Imported on first use: torch and transformers take seconds, which `import gemma_circuits` should not.
_HOMES = {
    "attribution": ("Direction", "Estimate", "LogitDifference", "attribute", "estimate"),
    "data": (
        "Annotations",
        "Circuit",
        "Diff",
        "Graph",
        "Node",
        "Nodes",
        "Paths",
        "Scores",
        "Supernode",
        "Target",
        "diff",
        "errors",
    ),
    "data.errors": ("GemmaCircuitsError",),
    "interventions": (
        "Ablate",
        "Add",
        "Effect",
        "Faithfulness",
        "Generation",
        "Patch",
        "Set",
        "Steer",
        "Swap",
        "SwapCase",
        "Swaps",
        "Sweep",
        "faithfulness",
        "generate",
        "intervene",
        "swap",
        "sweep",
    ),
    "models": ("ReplacementModel", "load"),
    "ui": (
        "CircuitGraph",
        "FeatureCard",
        "Interventions",
        "TokenFeatureHeatmap",
        "Workbench",
        "open",
        "recover",
        "show",
    ),
    "transcoders": ("Transcoder", "catalogue", "convert", "open_transcoder"),
}
_MODULES = ("features", "figures")
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Ablate",
    "Add",
    "Annotations",
    "Circuit",
    "CircuitGraph",
    "Diff",
    "Direction",
    "Effect",
    "Estimate",
    "Faithfulness",
    "FeatureCard",
    "GemmaCircuitsError",
    "Generation",
    "Graph",
    "Interventions",
    "LogitDifference",
    "Node",
    "Nodes",
    "Patch",
    "Paths",
    "ReplacementModel",
    "Scores",
    "Set",
    "Steer",
    "Supernode",
    "Swap",
    "SwapCase",
    "Swaps",
    "Sweep",
    "Target",
    "TokenFeatureHeatmap",
    "Transcoder",
    "Workbench",
    "attribute",
    "catalogue",
    "convert",
    "diff",
    "errors",
    "estimate",
    "faithfulness",
    "features",
    "figures",
    "generate",
    "intervene",
    "load",
    "open",
    "open_transcoder",
    "recover",
    "show",
    "swap",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_MODULES})
