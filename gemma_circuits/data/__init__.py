"""Attribution graphs as data: nodes, edges, pruning, scores, files."""

from .circuit import Circuit
from .graph import Graph
from .nodes import Node, Nodes, Target
from .pruning import Scores
from .verbs import Links

__all__ = ["Circuit", "Graph", "Links", "Node", "Nodes", "Scores", "Target"]
