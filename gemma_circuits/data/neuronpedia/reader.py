"""The viewers' JSON to graphs, whoever wrote it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import GraphFileError
from ..graph import Graph
from ..nodes import KINDS, Node, Nodes, Target
from .names import KIND_OF, pair, unpair
from .notes import read_notes


def read(source: str | PathLike[str] | Mapping[str, Any]) -> Graph:
    """A graph from such JSON: a file, or its value.

    Edges that the file does not list count as zero, and nodes that it does not list do not exist. Bias and
    pre-activations are not in the format: they are NaN, and so is `check()`. Pins, supernodes, labels and places
    become `graph.annotations`; what else the file says stays in `metadata["neuronpedia"]` and is written out again.

    Raises:
        FileNotFoundError: no such file.
        GraphFileError: not such a graph.
    """
    place = "graph JSON" if isinstance(source, Mapping) else str(source)
    try:
        return _graph(source if isinstance(source, Mapping) else _parse(Path(source).read_bytes()))
    except (GraphFileError, FileNotFoundError):
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        raise GraphFileError(place, expected="a graph as Neuronpedia's JSON", got=got) from error


def _parse(text: bytes) -> Any:
    """JSON in which NaN and infinity, which it does not know but Python writes, are null."""
    return json.loads(text, parse_constant=lambda _: None)


def _graph(value: Mapping[str, Any]) -> Graph:
    head = dict(value["metadata"])
    tokens, prompt, extra = head.pop("prompt_tokens"), head.pop("prompt"), head.pop("gemma_circuits", {})
    raw = list(value["nodes"])
    found = [_node(node) for node in raw]
    n_layers = max(node.layer + (node.kind != "logit") for node in found)
    order = sorted(range(len(found)), key=lambda i: (KINDS.index(found[i].kind), *_place(found[i])))
    nodes = [replace(found[i], layer=n_layers) if found[i].kind == "logit" else found[i] for i in order]
    places, twins = _places([str(raw[i]["node_id"]) for i in order], nodes)
    targets = [Target(node.token, node.token_id, node.probability) for node in nodes if node.kind == "logit"]
    n_features, n_sources = sum(node.kind == "feature" for node in nodes), len(nodes) - len(targets)
    source, target, weight = _links(value["links"], places, twins).T
    if bool(((source >= n_sources) | (target >= n_features) & (target < n_sources)).any()):
        raise GraphFileError("graph JSON, links", expected="from no logit, and to features and logits")
    edges = torch.zeros(n_features + len(targets), n_sources)
    rows = torch.where(target < n_features, target, target - n_sources + n_features)
    edges[rows.long(), source.long()] = weight.float()
    token_ids = {node.position: node.token_id for node in nodes if node.kind == "token"}
    unknown = torch.full((len(edges),), torch.nan)
    struct = replace(Nodes.of(nodes), index=np.arange(len(nodes)))
    ranks = {i: rank for rank, i in enumerate(order)}
    in_file = [(node, ranks[i]) for i, node in enumerate(raw)]
    notes, unread = read_notes(struct, in_file, places, value.get("qParams") or {}, extra)
    graph = Graph(
        prompt=prompt,
        tokens=tokens,
        token_ids=tuple(token_ids.get(i, -1) for i in range(len(tokens))),
        nodes=struct,
        edges=edges,
        target_bias=unknown,
        target_pre_activations=unknown,
        targets=tuple(targets),
        metadata={"neuronpedia": {"metadata": head, "qParams": unread}},
    )
    graph.annotations.update(**notes)
    return graph


def _node(raw: Mapping[str, Any]) -> Node:
    kind = KIND_OF.get(raw["feature_type"])
    if kind is None:
        raise GraphFileError("graph JSON, feature_type", expected=" or ".join(KIND_OF), got=repr(raw["feature_type"]))
    number, layer, position = raw["feature"], str(raw["layer"]), int(raw["ctx_idx"])
    middle = str(raw["node_id"]).split("_")[1:2]
    if middle and middle[0].isdecimal() and kind != "feature":
        number = int(middle[0])
    if kind == "token":
        return Node(kind, -1, position, token_id=int(number))
    if kind == "error":
        return Node(kind, int(layer), position)
    if kind == "feature":
        activation = raw.get("activation")
        feature = _feature(number, int(layer), middle)
        return Node(kind, int(layer), position, feature, activation=float("nan" if activation is None else activation))
    token, _, rest = (raw.get("clerp") or "").rpartition("(p=")
    probability = raw.get("token_prob") or rest.partition(")")[0] or raw["token_prob"]
    return Node(
        kind,
        # some writers name the last layer "L": the other nodes then tell how many there are
        int(layer) - 1 if layer.isdecimal() else 0,
        position,
        token_id=int(number),
        probability=float(probability),
        token=token[token.find('"') + 1 : token.rfind('"')] if token.count('"') > 1 else "",
    )


def _feature(number: Any, layer: int, middle: list[str]) -> int:
    """The index within the layer: `feature` is Cantor's number of it, or, from older writers, the index itself."""
    index = int(middle[0]) if middle and middle[0].isdecimal() else None
    if index is not None and number in (index, pair(layer, index), None):
        return index
    of_layer, feature = unpair(int(number))
    return feature if of_layer == layer else int(number) if index is None else index


def _place(node: Node) -> tuple[int, ...]:
    """Order within a kind; logits stay in the order of the file."""
    return () if node.kind == "logit" else (node.layer, node.position, node.feature)


def _places(ids: list[str], nodes: list[Node]) -> tuple[dict[str, int], dict[int, int]]:
    """Node id to place in the graph, and place of a feature to that of the error with the same id.

    Old files call the error of layer l at position p `0_l_p`, which is also feature l of layer 0.
    """
    places: dict[str, int] = {}
    twins: dict[int, int] = {}
    if len(set(nodes)) < len(nodes):
        raise GraphFileError("graph JSON, nodes", expected="each once")
    for i, (name, node) in enumerate(zip(ids, nodes)):
        if places.setdefault(name, i) == i:
            continue
        if node.kind != "error" or name != f"0_{node.layer}_{node.position}":
            raise GraphFileError("graph JSON, node_id", expected="each id once", got=repr(name))
        twins[places[name]] = i
    if twins:
        names = ", ".join(ids[i] for i in twins)
        warnings.warn(
            f"graph JSON: {names} each name a feature and an error; of two equal links the second is taken for the "
            "error's, a single one for the feature's",
            stacklevel=2,
        )
    return places, twins


def _links(raw: Iterable[Mapping[str, Any]], places: dict[str, int], twins: dict[int, int]) -> torch.Tensor:
    """(links, 3) float64: source, target, weight."""
    links: dict[tuple[int, int], float] = {}
    for link in raw:
        source, target = places[link["source"]], places[link["target"]]
        if (source, target) in links:
            if source not in twins:
                raise GraphFileError("graph JSON, links", expected="each link once", got=repr(dict(link)))
            source = twins[source]
        links[source, target] = float(link["weight"])
    return torch.tensor([(*ends, weight) for ends, weight in links.items()], dtype=torch.float64).reshape(-1, 3)
