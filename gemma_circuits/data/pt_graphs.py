"""circuit-tracer's `.pt` graphs: pickles, of which only tensors and plain values are read."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping, Sequence
from math import sqrt
from os import PathLike
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .errors import ArgumentError, GraphFileError, UnsafeFileError
from .graph import Graph
from .nodes import Nodes, Target

Backend = Literal["transformerlens", "nnsight"]


class Decoder(Protocol):
    """What of a tokenizer is needed here."""

    def decode(self, token_ids: Any) -> str:
        """Text of token ids."""
        ...


class _LogitTarget(NamedTuple):
    token_str: str
    vocab_idx: int


class _Config:
    """Stands for the configurations of models; their fields become attributes."""

    n_layers: int
    d_model: int
    model_name: str = ""
    tokenizer_name: str = ""
    original_architecture: str = ""


_PLAIN = [
    (_LogitTarget, "circuit_tracer.attribution.targets.LogitTarget"),
    (_Config, "circuit_tracer.utils.tl_nnsight_mapping.UnifiedConfig"),
    (_Config, "transformer_lens.HookedTransformerConfig.HookedTransformerConfig"),
    (_Config, "transformer_lens.config.HookedTransformerConfig.HookedTransformerConfig"),
]
"""Classes that such files name, and what is made in their place: nothing of the named modules is imported."""


def read(path: str | PathLike[str], *, tokenizer: Decoder | None = None, backend: Backend | None = None) -> Graph:
    """A graph that circuit-tracer saved with `Graph.to_pt`.

    The file is a pickle. It goes through `torch.load(weights_only=True)`, which makes tensors, plain values and the
    few records that circuit-tracer puts there, and runs nothing else. Bias and pre-activations are not in the file:
    they are NaN, and so is `check()`.

    circuit-tracer's nnsight back end leaves out Gemma's scaling of embeddings: every edge from a token is sqrt(d)
    too small, and pruning by influence underrates tokens. The file does not say which back end wrote it; a model's
    name equal to its tokenizer's (TransformerLens shortens it) tells nnsight, and then a warning asks for `backend`.

    Args:
        path: the file.
        tokenizer: gives tokens their text (`model.tokenizer`, or one of transformers); without it they read "#id".
        backend: which back end wrote it: with "nnsight" the edges from tokens of a Gemma are multiplied by sqrt(d).

    Raises:
        FileNotFoundError: no such file.
        UnsafeFileError: it holds something else than tensors and plain values.
        GraphFileError: it is no graph of circuit-tracer.
        ArgumentError: another back end.

    Example:
        >>> Graph.from_circuit_tracer("graph.pt", tokenizer=model.tokenizer)  # doctest: +SKIP
    """
    if backend not in (None, "transformerlens", "nnsight"):
        raise ArgumentError("backend", expected="transformerlens or nnsight", got=repr(backend))
    place = str(path)
    try:
        with torch.serialization.safe_globals(_PLAIN):
            value = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        raise UnsafeFileError(
            place,
            expected="tensors and plain values",
            got=str(error).partition("\n")[0],
            remedy="write it as JSON with circuit-tracer's create_graph_files, and read that: Graph.from_neuronpedia",
        ) from error
    except Exception as error:  # torch.load raises whatever its parts do
        got = f"{type(error).__name__}: {error}"
        raise GraphFileError(place, expected="a .pt file of circuit-tracer", got=got) from error
    try:
        return _graph(value, place, tokenizer, backend)
    except GraphFileError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        raise GraphFileError(place, expected="a graph of circuit-tracer", got=got) from error


def _graph(value: Mapping[str, Any], place: str, tokenizer: Decoder | None, backend: Backend | None) -> Graph:
    config: _Config = value["cfg"]
    active, token_ids = value["active_features"], value["input_tokens"].flatten().tolist()
    selected = value.get("selected_features", torch.arange(len(active)))
    features = active[selected]
    order = torch.from_numpy(np.lexsort(features.numpy().T[::-1].copy()))

    def text(token_id: int) -> str:
        return tokenizer.decode([token_id]) if tokenizer is not None else f"#{token_id}"

    targets = [
        Target(token or text(token_id), token_id, probability)
        for (token, token_id), probability in zip(_targets(value), value["logit_probabilities"].tolist(), strict=True)
    ]
    adjacency, n_features, n_tokens = value["adjacency_matrix"].float(), len(features), len(token_ids)
    n_sources = n_features + (config.n_layers + 1) * n_tokens
    size = n_sources + len(targets)
    if adjacency.shape != (size, size) or adjacency[n_features:n_sources].any() or adjacency[:, n_sources:].any():
        expected = f"({size}, {size}), zero in rows of errors and tokens and in columns of logits"
        raise GraphFileError(place, expected=f"adjacency_matrix {expected}", got=str(tuple(adjacency.shape)))
    columns = torch.cat([order, torch.arange(n_features, n_sources)])
    edges = adjacency[torch.cat([order, torch.arange(n_sources, size)])][:, columns]
    scale = _token_scale(config, backend, place)
    edges[:, n_sources - n_tokens :] *= scale
    unknown = torch.full((len(edges),), torch.nan)
    scan = value.get("scan")
    return Graph(
        prompt=value["input_string"],
        tokens=tuple(map(text, token_ids)),
        token_ids=tuple(token_ids),
        nodes=Nodes.build(
            features=features[order],
            activations=value["activation_values"][selected][order],
            error_layers=range(config.n_layers),
            token_ids=token_ids,
            targets=targets,
            n_layers=config.n_layers,
        ),
        edges=edges,
        target_bias=unknown,
        target_pre_activations=unknown,
        targets=tuple(targets),
        metadata={
            "model": str(config.tokenizer_name or config.model_name),
            "circuit_tracer": {"scan": scan, "backend": backend, "token_scale": scale},
        }
        | ({"transcoder": scan} if isinstance(scan, str) else {}),
    )


def _targets(value: Mapping[str, Any]) -> Sequence[tuple[str, int]]:
    """Text and token id; older files have ids only."""
    found = value["logit_targets"] if "logit_targets" in value else value["logit_tokens"]
    if isinstance(found, Tensor):
        return [("", token_id) for token_id in found.tolist()]
    return [(str(token), int(token_id)) for token, token_id in found]


def _token_scale(config: _Config, backend: Backend | None, place: str) -> float:
    if "Gemma" not in config.original_architecture:
        return 1.0
    if backend is None and config.model_name == config.tokenizer_name:
        warnings.warn(
            f"{place}: looks like a file of circuit-tracer's nnsight back end, whose edges from tokens are "
            f"{sqrt(config.d_model):.1f} times too small for a Gemma; pass backend='nnsight' to correct them, or "
            "backend='transformerlens' if that wrote it",
            stacklevel=5,
        )
    return sqrt(config.d_model) if backend == "nnsight" else 1.0
