"""Features: examples, labels, effects on logits, search, and the store that keeps them."""

from .collecting import collect
from .contrasts import Contrast, LengthWarning, ResolutionWarning, contrast
from .dashboards import Dashboard
from .effects import LogitEffects, TokenEffect, logit_effects
from .exchange import ImportCount, export_features, import_features, imported, read_features
from .explainer import Explainer
from .grouping import GroupProposal, propose_groups
from .labels import Detection, LabelProposal, LabelProposals, propose
from .location import open_store as open
from .neuronpedia_client import NeuronpediaClient, fetch_labels
from .records import Example, Feature, Histogram, Hit, Label, Note, Quantile, Statistics, TokenCount
from .search import Active, Nearest, active, nearest
from .store import Store

__all__ = [
    "Active",
    "Contrast",
    "Dashboard",
    "Detection",
    "Example",
    "Explainer",
    "Feature",
    "GroupProposal",
    "Histogram",
    "Hit",
    "ImportCount",
    "Label",
    "LabelProposal",
    "LabelProposals",
    "LengthWarning",
    "LogitEffects",
    "Nearest",
    "NeuronpediaClient",
    "Note",
    "Quantile",
    "ResolutionWarning",
    "Statistics",
    "Store",
    "TokenCount",
    "TokenEffect",
    "active",
    "collect",
    "contrast",
    "export_features",
    "fetch_labels",
    "import_features",
    "imported",
    "logit_effects",
    "nearest",
    "open",
    "propose",
    "propose_groups",
    "read_features",
]
