"""The attribution graph of one prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from . import pruning
from .annotations import Annotations
from .errors import ArgumentError
from .nodes import KINDS, Nodes, Target
from .pruning import Scores, Wiring
from .verbs import Links, Verbs, find_links, square

if TYPE_CHECKING:
    from .circuit import Circuit


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Graph(Verbs):
    """Which features, wired how, produced the outputs of one prompt.

    Tensors are kept on the CPU in float32. The square `adjacency` is made on request; `edges` holds the
    rectangle of it that is not zero by definition.

    Raises:
        ArgumentError: parts that do not fit together, or numbers that are not finite.
    """

    prompt: str
    """The text that was traced."""
    tokens: tuple[str, ...]
    """Tokens as text; those after the traced position are for display only and have no nodes."""
    token_ids: tuple[int, ...]
    """Vocabulary indices of `tokens`."""
    nodes: Nodes
    """Features (layer, position, feature, ascending), errors (layer-major, then position), tokens, logits."""
    edges: Tensor
    """(targets, sources) float32: direct effect of the source at its actual activation, in units of the
    target's pre-activation. Targets are features then logits; sources are features, errors, tokens."""
    target_bias: Tensor
    """(targets,) float32: what no node sends: biases, ignored positions, features left out."""
    target_pre_activations: Tensor
    """(targets,) float32: a row of `edges` and its `target_bias` sum to it. Both are NaN throughout in a
    graph from a format that does not tell them."""
    targets: tuple[Target, ...]
    """What the graph explains, one logit node each."""
    target_rest: Tensor = field(default_factory=lambda: torch.zeros(0))
    """(targets,) float32: sum of |edge| over edges too small to be stored (`attribute(keep=...)`), which count in
    the sum of a row's input; their signed sum is in `target_bias`. Of features that are no nodes too: at most.
    Zero where all are stored, and if not given."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: model, transcoder, hashes of their weights, settings of the run."""

    def __post_init__(self) -> None:
        def put(**parts: Any) -> None:
            for name, part in parts.items():
                object.__setattr__(self, name, part)

        put(tokens=tuple(self.tokens), targets=tuple(self.targets), metadata=dict(self.metadata))
        put(token_ids=tuple(int(i) for i in self.token_ids))
        if not len(self.target_rest):
            put(target_rest=torch.zeros(len(self.target_bias)))
        for name in ("edges", "target_bias", "target_pre_activations", "target_rest"):
            put(**{name: getattr(self, name).detach().to("cpu", torch.float32).contiguous()})
        self._check_parts()
        text = np.full(len(self.nodes), "", object)
        read = self.nodes.kind == "token"
        text[read] = [self.tokens[position] for position in self.nodes.position[read]]
        text[self.nodes.kind == "logit"] = [target.token for target in self.targets]
        put(nodes=replace(self.nodes, token=text, index=np.arange(len(text))))

    def _check_parts(self) -> None:
        nodes = self.nodes
        n_features, n_errors, n_tokens, n_logits = (int((nodes.kind == kind).sum()) for kind in KINDS)
        n_targets, n_sources = n_features + n_logits, n_features + n_errors + n_tokens
        kinds = [kind for kind, _ in groupby(nodes.kind.tolist())]
        for part, expected, got in (
            ("order of nodes", sorted(set(kinds), key=KINDS.index), kinds),
            ("edges", (n_targets, n_sources), tuple(self.edges.shape)),
            ("target_bias", (n_targets,), tuple(self.target_bias.shape)),
            ("target_pre_activations", (n_targets,), tuple(self.target_pre_activations.shape)),
            ("target_rest", (n_targets,), tuple(self.target_rest.shape)),
            ("number of targets", max(n_logits, 1), len(self.targets)),
            ("number of token ids", len(self.tokens), len(self.token_ids)),
        ):
            if got != expected:
                raise ArgumentError(f"graph, {part}", expected=str(expected), got=str(got))
        texts = (self.prompt, *self.tokens, *(target.token for target in self.targets))
        if not all(isinstance(text, str) for text in texts):
            raise ArgumentError("graph, prompt and tokens", expected="text")
        places = np.stack([nodes.layer, nodes.position, nodes.feature])[:, :n_features]
        steps = np.diff(places)
        rising = (steps[0] > 0) | (steps[0] == 0) & ((steps[1] > 0) | (steps[1] == 0) & (steps[2] > 0))
        if not rising.all():
            raise ArgumentError("graph, features", expected="ascending (layer, position, feature), each once")
        if not ((nodes.position >= 0) & (nodes.position < len(self.tokens))).all():
            raise ArgumentError("graph, positions", expected=f"0 to {len(self.tokens) - 1}")
        numbers = {
            "edges": self.edges,
            "target_rest": self.target_rest,
            "probabilities": torch.tensor([target.probability for target in self.targets]),
        }
        if not (self.target_pre_activations.isnan().all() and self.target_bias.isnan().all()):
            numbers["target_bias"] = self.target_bias
            numbers["target_pre_activations"] = self.target_pre_activations
            numbers["activations"] = torch.tensor(nodes.activation[:n_features])
        for part, values in numbers.items():
            if values.numel() and not all(map(isfinite, torch.aminmax(values))):
                raise ArgumentError(f"graph, {part}", expected="finite numbers", got="NaN or infinity")

    @property
    def n_layers(self) -> int:
        """The model's layers."""
        return int(self.nodes.layer[-1])

    @property
    def n_positions(self) -> int:
        """Traced positions: `tokens[:n_positions]` is what the model read."""
        return int(self.nodes.position[-1]) + 1

    @cached_property
    def annotations(self) -> Annotations:
        """Pins, supernodes, labels and places that people add; saved with the graph, shared by its circuits."""
        return Annotations(self.nodes)

    @cached_property
    def wiring(self) -> Wiring:
        """Edges with what influence needs to know of their nodes; shares memory with `edges`."""
        layers = self.nodes.layer[self.nodes.kind == "feature"]
        return Wiring(
            self.edges,
            torch.tensor(layers),
            int((self.nodes.kind == "error").sum()),
            torch.tensor([target.probability for target in self.targets], dtype=torch.float64),
            self.target_rest,
        )

    @property
    def incoming(self) -> Tensor:
        """(targets,) float32: sum of |edge| into each target, edges that are not stored included."""
        return pruning.incoming(self.wiring).float()

    @property
    def adjacency(self) -> Tensor:
        """(nodes, nodes) float32, made anew: row = target, column = source."""
        return square(self.edges, self.wiring.n_features)

    @property
    def bias(self) -> Tensor:
        """(nodes,) float32: `target_bias`, zero for errors and tokens."""
        return self.on_nodes(self.target_bias)

    @property
    def pre_activations(self) -> Tensor:
        """(nodes,) float32: `target_pre_activations`, zero for errors and tokens."""
        return self.on_nodes(self.target_pre_activations)

    @property
    def rest(self) -> Tensor:
        """(nodes,) float32: `target_rest`, zero for errors and tokens."""
        return self.on_nodes(self.target_rest)

    @cached_property
    def influence(self) -> Tensor:
        """(nodes,) float32: `w (N + N^2 + ...)`, see `pruning.influence`; zero for logits."""
        return torch.cat([self._reach, torch.zeros(len(self.targets))]).float()

    @cached_property
    def _reach(self) -> Tensor:
        return pruning.influence(self.wiring)

    def scores(self) -> Scores:
        """Replacement and completeness score of the whole graph."""
        return self._scores

    @cached_property
    def _scores(self) -> Scores:
        return pruning.scores(self.wiring, self._reach)

    def check(self) -> float:
        """How far the graph is from `pre_activations == adjacency.sum(1) + bias`.

        Returns:
            the largest |deviation| over the largest |pre-activation|, among features or among logits,
            whichever is worse. Right graphs stay below 1e-4 (2e-2 with a bfloat16 model). NaN where the
            pre-activations are not known.
        """
        pre = self.target_pre_activations.double()
        deviation = (pre - self.edges.sum(1, dtype=torch.float64) - self.target_bias.double()).abs()
        n_features = self.wiring.n_features
        groups = (slice(n_features), slice(n_features, None))
        shares = [deviation[group].max() / pre[group].abs().max() for group in groups if len(pre[group])]
        return torch.stack(shares).max().item()

    def _size(self) -> str:
        keep = self.metadata.get("keep", 1)
        return self.nodes.counts + (f"; of each row of edges {keep:.6g} is stored" if self.target_rest.any() else "")

    def on_nodes(self, values: Tensor) -> Tensor:
        """(targets,) numbers, as `target_bias` lies, as (nodes,); zero for errors and tokens."""
        n_features = self.wiring.n_features
        out = torch.zeros(len(self.nodes), dtype=torch.float32)
        out[:n_features], out[len(out) - len(self.targets) :] = values[:n_features], values[n_features:]
        return out

    def prune(self, node_threshold: float = 0.8, edge_threshold: float = 0.98) -> Circuit:
        """The fewest nodes and edges that carry these shares of the influence on the targets.

        Args:
            node_threshold: share of the influence of all nodes, 0 to 1.
            edge_threshold: share of the edge scores among the nodes kept, 0 to 1.

        Raises:
            ArgumentError: a threshold outside 0 to 1.
        """
        from .circuit import Circuit

        sources, edges = pruning.prune(self.wiring, self._reach, node_threshold, edge_threshold)
        logits = torch.ones(len(self.targets), dtype=torch.bool)

        return Circuit(self, torch.cat([sources, logits]), edges, node_threshold, edge_threshold)

    def links(self) -> Links:
        """All edges that are not zero."""
        return find_links(self.edges, self.edges != 0, self.wiring.n_features)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write one safetensors file with its JSON in the header; an old file is replaced in one step.

        Raises:
            StorageError: it could not be written; what stood there before is untouched.
            ArgumentError: metadata that JSON cannot hold.
        """
        from . import files

        return files.save(path, self)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Graph:
        """Read a saved graph (or the graph of a saved circuit).

        Raises:
            FileNotFoundError: no such file.
            GraphFileError: a file that is not a readable graph.
            NewerSchemaError: one from a newer version of this package.
            UnsafeFileError: a pickle.
        """
        from . import files

        return files.load_graph(path)

    @classmethod
    def from_neuronpedia(cls, source: str | PathLike[str] | Mapping[str, Any]) -> Graph:
        """Read a graph from Neuronpedia's JSON; see `neuronpedia.read`."""
        from . import neuronpedia

        return neuronpedia.read(source)

    @classmethod
    def from_circuit_tracer(cls, path: str | PathLike[str], **options: Any) -> Graph:
        """Read a `.pt` graph of circuit-tracer without running what may be in it; options as of `pt_graphs.read`."""
        from . import pt_graphs

        return pt_graphs.read(path, **options)
