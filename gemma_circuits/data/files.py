"""Graphs and circuits on disk: one safetensors file, its JSON in the header."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .circuit import Circuit
from .errors import ArgumentError, GraphFileError, NewerSchemaError, StorageError, UnsafeFileError
from .graph import Graph
from .nodes import KINDS, Nodes, Target

SCHEMA = 2
"""Version of the format; raised when older readers would misread a file."""
_KEY = "gemma_circuits"
_COLUMNS = ("layer", "position", "feature", "activation", "token_id", "probability")
_PICKLES = (b"PK", b"\x80")
T = TypeVar("T")


def save(path: str | PathLike[str], saved: Graph | Circuit, view: Mapping[str, Any] | None = None) -> Path:
    """Write a graph, or a circuit with its graph, and how it is being looked at; see `Graph.save`."""
    graph = saved.graph if isinstance(saved, Circuit) else saved
    text = {
        "schema": SCHEMA if graph.target_rest.any() else 1,  # older readers take edges that are not stored for none
        "package": _version(),
        "prompt": graph.prompt,
        "tokens": graph.tokens,
        "token_ids": graph.token_ids,
        "targets": [vars(target) for target in graph.targets],
        "metadata": graph.metadata,
        "annotations": graph.annotations.notes.to_json(),
        "view": view or {},
    }
    tensors = {
        "edges": graph.edges,
        "bias": graph.target_bias.clone(),  # tensors of a file must not share memory
        "pre_activations": graph.target_pre_activations,
        "rest": graph.target_rest.clone(),
        "kind": torch.tensor([KINDS.index(kind) for kind in graph.nodes.kind], dtype=torch.uint8),
    } | {name: torch.tensor(getattr(graph.nodes, name)) for name in _COLUMNS}
    if isinstance(saved, Circuit):
        text["circuit"] = {"node_threshold": saved.node_threshold, "edge_threshold": saved.edge_threshold}
        tensors |= {"node_mask": saved.node_mask, "kept_edges": saved.kept_edges.nonzero().contiguous()}
    try:
        header = {_KEY: json.dumps(text, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise ArgumentError("graph.metadata", expected="JSON values", got=str(error)) from error
    return replace_file(path, lambda temporary: save_file(tensors, temporary, header))


def load_graph(path: str | PathLike[str]) -> Graph:
    """Read the graph of a file; see `Graph.load`."""
    return _read(path, _graph)


def load_circuit(path: str | PathLike[str]) -> Circuit:
    """Read a circuit and its graph; see `Circuit.load`."""
    return _read(path, _circuit)


def load_view(path: str | PathLike[str]) -> tuple[Graph | Circuit, dict[str, Any]]:
    """Read what was saved, and how it was looked at (empty if that was not saved); errors as `Graph.load`."""
    return _read(path, lambda text, tensors: (_saved(text, tensors), dict(text.get("view", {}))))


def replace_file(path: str | PathLike[str], write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path` in one step.

    Raises:
        StorageError: it could not be written; what stood at `path` is untouched.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise StorageError(str(path), expected="a folder that exists", remedy=f"create {path.parent} first")
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        remedy = "free some space or choose another folder; what was there before is untouched"
        raise StorageError(str(path), expected="a file that can be written", got=str(error), remedy=remedy) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _read(path: str | PathLike[str], build: Callable[[dict[str, Any], dict[str, Tensor]], T]) -> T:
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(9)
    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(_KEY)
            if header is None:
                raise GraphFileError(str(path), expected="a graph of gemma_circuits", got="other tensors")
            text = json.loads(header)
            if text["schema"] > SCHEMA:
                raise NewerSchemaError(
                    str(path),
                    expected=f"schema {SCHEMA} or lower",
                    got=f"schema {text['schema']}, written by version {text.get('package')}",
                    remedy="upgrade gemma-circuits",
                )
            return build(text, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except GraphFileError:
        raise
    except SafetensorError as error:
        if start.startswith(_PICKLES):
            raise UnsafeFileError(
                str(path),
                expected="a safetensors file",
                got="a pickle, which could run any program when opened",
                remedy="read one of circuit-tracer with Graph.from_circuit_tracer, which runs nothing; or ask for "
                "the graph as Neuronpedia's JSON and read that with Graph.from_neuronpedia",
            ) from error
        raise GraphFileError(
            str(path),
            expected="a whole safetensors file",
            got=str(error),
            remedy="read JSON with Graph.from_neuronpedia" if start.lstrip().startswith(b"{") else "",
        ) from error
    except (ArgumentError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise GraphFileError(str(path), expected="a whole graph", got=f"{type(error).__name__}: {error}") from error


def _graph(text: dict[str, Any], tensors: dict[str, Tensor]) -> Graph:
    graph = Graph(
        prompt=text["prompt"],
        tokens=text["tokens"],
        token_ids=text["token_ids"],
        nodes=Nodes(
            kind=np.array(KINDS)[tensors["kind"].numpy()],
            **{name: tensors[name].numpy() for name in _COLUMNS},
        ),
        edges=tensors["edges"],
        target_bias=tensors["bias"],
        target_pre_activations=tensors["pre_activations"],
        target_rest=tensors.get("rest", torch.zeros(0)),  # not in the first files
        targets=tuple(
            Target(target["token"], int(target["token_id"]), float(target["probability"])) for target in text["targets"]
        ),
        metadata=text["metadata"],
    )
    if "annotations" in text:  # not in the first files of this schema
        graph.annotations.restore(graph.annotations.parse(text["annotations"]))
    return graph


def _saved(text: dict[str, Any], tensors: dict[str, Tensor]) -> Graph | Circuit:
    return (_circuit if "circuit" in text else _graph)(text, tensors)


def _circuit(text: dict[str, Any], tensors: dict[str, Tensor]) -> Circuit:
    if "circuit" not in text:
        raise ArgumentError("circuit", expected="masks", got="a graph", remedy="Graph.load(path).prune()")
    graph = _graph(text, tensors)
    kept = torch.zeros(graph.edges.shape, dtype=torch.bool)
    kept[tuple(tensors["kept_edges"].T)] = True
    return Circuit(graph, tensors["node_mask"], kept, **text["circuit"])


def _version() -> str:
    try:
        return version("gemma-circuits")
    except PackageNotFoundError:
        return "unknown"
