"""Reads the reference results under `tests/golden`; its README says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"


def reference(name: str) -> dict[str, Tensor]:
    """Tensors of one reference graph; `prune_edge_mask` is made square again.

    Those whose name ends in `p1_all` hold only the rows `adjacency_rows` of the adjacency.
    """
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        tensors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    if "prune_edge_mask" in tensors:
        kept, nodes = tensors["prune_edge_mask"].long(), len(tensors["prune_node_mask"])
        tensors["prune_edge_mask"] = torch.zeros(nodes, nodes, dtype=torch.bool)
        tensors["prune_edge_mask"][kept[:, 0], kept[:, 1]] = True
    return tensors


def arguments(name: str) -> dict[str, Any]:
    """The arguments and scores recorded beside a reference graph."""
    return json.loads((GOLDEN / f"{name}.json").read_text())
