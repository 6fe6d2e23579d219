"""Attribution graphs as data: nodes, edges, pruning, scores, files."""

from .annotations import Annotations, Notes, Supernode
from .circuit import Circuit
from .graph import Graph
from .nodes import Node, Nodes, Target
from .pruning import Scores
from .verbs import Links

__all__ = ["Annotations", "Circuit", "Graph", "Links", "Node", "Nodes", "Notes", "Scores", "Supernode", "Target"]
