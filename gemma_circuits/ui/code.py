"""Experiments as Python code that does the same in a fresh kernel."""

from __future__ import annotations

from typing import Any

import torch

from ..data import Graph, Node, Supernode
from ..interventions import Ablate, Intervention, Patch, Set, Steer
from ..models import ReplacementModel
from .experiments import Experiment


def as_code(model: ReplacementModel, graph: Graph, experiment: Experiment) -> str:
    """Code that opens the model and makes the experiment; its last line shows the effect."""
    made = [change.intervention(model, graph) for change in experiment.changes]
    lines = [
        "import gemma_circuits as gmc",
        "",
        f"model = {_load(model)}",
        f"prompt = {_prompt(model, graph)}",
        "interventions = [",
        *(f"    {_call(intervention)}," for intervention in made),
        "]",
    ]
    if experiment.new_tokens:
        lines.append(f"print(gmc.generate(model, prompt, interventions, max_new_tokens={experiment.new_tokens}))")
    lines += [f'effect = gmc.intervene(model, prompt, interventions, mode="{experiment.mode}")', "effect"]
    return "\n".join(lines)


def _load(model: ReplacementModel) -> str:
    if model.opened_as is None:
        return "...  # the model that the graph was traced on"
    arguments = [*map(repr, model.opened_as)]
    if model.dtype != torch.float32 or model.device.type != "cpu":
        arguments += [f"dtype={str(model.dtype).removeprefix('torch.')!r}"]
    return f"gmc.load({', '.join(arguments)})"


def _prompt(model: ReplacementModel, graph: Graph) -> str:
    """The text where the model reads it as these tokens, else their ids."""
    ids = graph.token_ids[: graph.n_positions]
    if graph.n_positions == len(graph.token_ids) and model.prompt(graph.prompt).token_ids == ids:
        return repr(graph.prompt)
    return f"{list(ids)}  # {graph.prompt!r}"


def _call(intervention: Intervention) -> str:
    match intervention:
        case Ablate(node=node):
            return f"gmc.Ablate({_literal(node)})"
        case Set(node=node, value=value):
            return f"gmc.Set({_literal(node)}, {value!r})"
        case Steer(node=node, factor=factor):
            return f"gmc.Steer({_literal(node)}, {factor!r})"
        case Patch(node=node, source=source):
            return f"gmc.Patch({_literal(node)}, {source!r})"
    raise TypeError(intervention)


def _literal(node: Any) -> str:
    match node:
        case Supernode():
            return f"gmc.Supernode({node.name!r}, {_literal(list(node.nodes))})"
        case Node():
            return f'gmc.Node("{node.kind}", {node.layer}, {node.position})'
        case list() | tuple() if not (len(node) == 3 and isinstance(node[0], int)):
            return f"[{', '.join(map(_literal, node))}]"
    return repr(node)
