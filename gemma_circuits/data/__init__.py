"""Attribution graphs as data: nodes, edges, pruning, scores, files."""

from .annotations import Annotations, Notes, Supernode
from .circuit import Circuit
from .diff import Diff, diff
from .graph import Graph
from .nodes import Node, Nodes, Target
from .paths import Paths
from .pruning import Scores
from .verbs import Links

__all__ = [
    "Annotations",
    "Circuit",
    "Diff",
    "Graph",
    "Links",
    "Node",
    "Nodes",
    "Notes",
    "Paths",
    "Scores",
    "Supernode",
    "Target",
    "diff",
]
