"""Graphs to test with: the reference ones, and small random ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gemma_circuits.data import Graph, Nodes, Target
from tests.goldens import reference

PRUNED = ("clt_hook_resid_mid_p0_max200", "clt_mlp_hook_in_p0_max200")
EXACT = ("gemma2", "gemma2_affine", "gemma3_affine")
HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e\n\ud800"


def reference_graph(name: str, n_layers: int = 4) -> Graph:
    """A reference adjacency as a graph; where the file has no bias, it is zero and the identity holds."""
    found = reference(name)
    selected = found.get("selected_features", torch.arange(len(found["active_features"])))
    token_ids = found["input_tokens"].tolist()
    targets = [
        Target(f"w{i}", i, p) for i, p in zip(found["logit_token_ids"].tolist(), found["logit_probabilities"].tolist())
    ]
    n_features, n_sources = len(selected), len(selected) + (n_layers + 1) * len(token_ids)
    rows = torch.cat([torch.arange(n_features), torch.arange(n_sources, n_sources + len(targets))])
    square = found["adjacency_matrix"]
    sums = square.sum(1)
    return Graph(
        prompt=" ".join(f"w{i}" for i in token_ids),
        tokens=tuple(f"w{i}" for i in token_ids),
        token_ids=tuple(token_ids),
        nodes=Nodes.build(
            features=found["active_features"][selected],
            activations=found["activation_values"][selected],
            error_layers=range(n_layers),
            token_ids=token_ids,
            targets=targets,
            n_layers=n_layers,
        ),
        edges=square[rows, :n_sources],
        target_bias=found.get("bias", torch.zeros_like(sums))[rows],
        target_pre_activations=found.get("pre_activations", sums)[rows],
        targets=tuple(targets),
        metadata={"model": "tiny/model"},
    )


def small_graph(
    seed: int = 0, n_layers: int = 3, n_tokens: int = 2, n_targets: int = 2, density: float = 0.5, **parts: Any
) -> Graph:
    """A random layered graph with about two features per layer and position; `parts` replace parts of it."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random) * (torch.rand(shape, generator=random) < density)

    places = [(m, p, f) for m in range(n_layers) for p in range(n_tokens) for f in range(4)]
    features = [place for place in places if torch.rand((), generator=random) < 0.5]
    targets = tuple(Target(f" t{i}", 50 + i, 0.5 / (i + 1)) for i in range(n_targets))
    layers = torch.tensor([layer for layer, _, _ in features], dtype=torch.int64)
    n_features = len(features)
    edges = draw(n_features + n_targets, n_features + (n_layers + 1) * n_tokens)
    edges[:n_features, :n_features] *= layers[:, None] > layers[None]
    bias = draw(len(edges))
    chosen = {
        "prompt": "one two",
        "tokens": tuple(f"t{i}" for i in range(n_tokens)),
        "token_ids": tuple(range(10, 10 + n_tokens)),
        "nodes": Nodes.build(
            features=torch.tensor(features, dtype=torch.int64).reshape(-1, 3),
            activations=1 + torch.arange(n_features) / 8,
            error_layers=range(n_layers),
            token_ids=range(10, 10 + n_tokens),
            targets=targets,
            n_layers=n_layers,
        ),
        "edges": edges,
        "target_bias": bias,
        "target_pre_activations": edges.sum(1) + bias,
        "targets": targets,
        "metadata": {"model": "google/gemma-3-1b-it", "transcoder": "google/gemma-scope-2-1b-it/clt"},
    }
    return Graph(**chosen | parts)
