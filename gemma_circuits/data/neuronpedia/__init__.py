"""Graphs as the JSON that Neuronpedia and the viewers of circuit-tracer and Anthropic read and write.

`graph.schema.json` beside this file says what is written.
"""

from .names import node_id, pair, unpair
from .reader import read
from .writer import export

__all__ = ["export", "node_id", "pair", "read", "unpair"]
