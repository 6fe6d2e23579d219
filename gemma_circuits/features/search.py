"""Find features: by what fires on a prompt, and by direction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..attribution.progress import Progress
from ..data import Nodes, display
from ..data.errors import ArgumentError
from ..models import Prompt, PromptLike, ReplacementModel
from ..models.edit import run
from .directions import blocks, place_of, reads, writes
from .records import Example

SHOWN = 20
"""Rows of the tables."""
TOGETHER = 2048
"""Tokens in one forward pass, where there are many prompts."""
Side = Literal["decoder", "encoder"]


@dataclass(frozen=True, eq=False, repr=False)
class Active:
    """The features that fire on a prompt. `nodes` can be searched, ablated and steered like a graph's.

    Example:
        >>> active.nodes.where(layer=3, position=6)  # doctest: +SKIP
    """

    prompt: Prompt
    nodes: Nodes
    """Features by (layer, position, feature), ascending; their `activation` is that on this prompt."""

    def strongest(self, k: int = SHOWN) -> Nodes:
        """The `k` nodes of largest activation, largest first."""
        return self.nodes[np.argsort(-self.nodes.activation, kind="stable")[:k]]

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"{self._title()} on {display.shorten(self.prompt.text)}\n" + display.text_table(*self._table())

    def _repr_html_(self) -> str:
        return display.page(self._title(), self.prompt.text, {"strongest": display.html_table(*self._table())})

    def _title(self) -> str:
        return f"{len(self)} active feature{'s' * (len(self) != 1)}"

    def _table(self) -> tuple[list[str], list[list[str] | None]]:
        rows: list[list[str] | None] = [
            [
                str(node.layer),
                str(node.position),
                display.shorten(self.prompt.tokens[node.position], 20),
                str(node.feature),
                f"{node.activation:.3g}",
            ]
            for node in self.strongest()
        ]
        return ["layer", "position", "token", "feature", "activation"], [*rows, *[None] * (len(self) > SHOWN)]


@dataclass(frozen=True, eq=False, repr=False)
class Nearest:
    """Features whose decoder or encoder points most along a direction, nearest first."""

    to: str
    """ "decoder" or "encoder"."""
    layer: Tensor
    """(k,) int64."""
    feature: Tensor
    """(k,) int64."""
    similarity: Tensor
    """(k,) float32: cosine, -1 to 1."""

    def __len__(self) -> int:
        return len(self.layer)

    def __repr__(self) -> str:
        return f"{len(self)} features by {self.to}\n" + display.text_table(*self._table())

    def _repr_html_(self) -> str:
        return display.html_table(*self._table())

    def _table(self) -> tuple[list[str], list[list[str] | None]]:
        columns = zip(self.layer.tolist(), self.feature.tolist(), self.similarity.tolist())
        rows: list[list[str] | None] = [[str(a), str(b), f"{c:.3f}"] for a, b, c in columns]
        return ["layer", "feature", "cosine"], rows


def active(
    model: ReplacementModel, prompt: PromptLike, *, layers: Iterable[int] | None = None, progress: bool = True
) -> Active:
    """The features that fire on a prompt, where and how much, without tracing it.

    Positions that dictionaries ignore have none. Works with every dictionary, SAEs and crosscoders too.

    Args:
        model: from `load`.
        prompt: as for `attribute`.
        layers: only these of the dictionary's; None for all.
        progress: show a bar for what takes long.

    Raises:
        PromptError: a prompt that cannot be run.
        ArgumentError: a layer that the dictionary does not cover.

    Example:
        >>> active(load(), "The capital of the state containing Dallas is").strongest(3)  # doctest: +SKIP
    """
    bars = Progress(progress)
    return next(_active(model, [model.prompt(prompt)], checked_layers(model, layers), bars))


def active_on_each(model: ReplacementModel, prompts: Sequence[PromptLike], progress: Progress) -> Iterator[Active]:
    """`active` of many prompts, several in one forward pass; raises what it raises, before the model runs."""
    tokenized = [model.prompt(prompt) for prompt in prompts]
    size = max(1, TOGETHER // max(map(len, tokenized), default=1))
    with progress.bar("texts", len(tokenized)) as bar:
        for start in range(0, len(tokenized), size):
            for found in _active(model, tokenized[start : start + size], model.transcoder.layers, Progress(False)):
                yield found
                bar.update()


def as_prompt(model: ReplacementModel, example: Example) -> tuple[int, ...]:
    """Token ids of an example to run the model on: a window from inside a context gets the `<bos>` that it lacks."""
    bos, ids = model.tokenizer.bos_token_id, example.token_ids
    return ids if bos is None or ids[0] == bos else (bos, *ids)


def _active(
    model: ReplacementModel, prompts: Sequence[Prompt], layers: tuple[int, ...], progress: Progress
) -> Iterator[Active]:
    """In one forward pass; shorter prompts are padded behind, which no position before can see."""
    width, transcoder = max(map(len, prompts)), model.transcoder
    ids = torch.tensor([[*prompt.token_ids, *[0] * (width - len(prompt))] for prompt in prompts])
    seen: dict[int, Tensor] = {}

    def look(layer: int, value: Tensor) -> None:
        if layer in layers:
            seen[layer] = value.flatten(0, 1)

    run(model, ids, [(transcoder.reads, look)], logits_to_keep=1)
    columns = []
    for layer in progress.steps(layers, "encode"):
        found = transcoder.encode(layer, seen.pop(layer))
        rows, features, activations = (part.cpu().numpy() for part in found[:3])
        columns.append((rows // width, rows % width, np.full(len(rows), layer), features, activations))
    row, *rest = (np.concatenate(parts) for parts in zip(*columns))
    for index, prompt in enumerate(prompts):
        position, layer, feature, activation = (part[row == index] for part in rest)
        counted = (position >= prompt.ignored) & (position < len(prompt))
        yield Active(prompt, _nodes(layer[counted], position[counted], feature[counted], activation[counted]))


def _nodes(layer: np.ndarray, position: np.ndarray, feature: np.ndarray, activation: np.ndarray) -> Nodes:
    count = len(layer)
    return Nodes(
        kind=np.full(count, "feature"),
        layer=layer,
        position=position,
        feature=feature,
        activation=activation,
        token_id=np.full(count, -1),
        probability=np.full(count, np.nan),
    )


@torch.no_grad()
def nearest(
    model: ReplacementModel,
    direction: Any,
    to: Side = "decoder",
    k: int = 20,
    *,
    layers: Iterable[int] | None = None,
    progress: bool = True,
) -> Nearest:
    """The features whose decoder (or encoder) points most along a direction of the residual stream, by cosine.

    Decoders are compared as what they add to the residual stream in all (see `writes` in `features/directions.py`),
    encoders as what excites them there (`reads`). Weights are streamed: the memory needed does not grow with the
    number of features.

    Args:
        model: from `load`.
        direction: (d,) of the residual stream; or a feature (a node, `(layer, feature)`...), which stands for its own
            decoder or encoder and is itself the first that is found.
        to: "decoder" or "encoder".
        k: how many, at least 1.
        layers: only features of these layers; None for all.
        progress: show a bar for what takes long.

    Raises:
        ArgumentError: a direction of another width, zero or not finite; `to`, `k` or `layers` out of range.
        NodeError: no such feature.

    Example:
        >>> nearest(load(), (3, 120), to="decoder", k=5)  # doctest: +SKIP
    """
    if to not in get_args(Side):
        raise ArgumentError("to", expected="'decoder' or 'encoder'", got=repr(to))
    if k < 1:
        raise ArgumentError("k", expected="1 or more", got=str(k))
    wanted, vectors = checked_layers(model, layers), writes if to == "decoder" else reads
    if isinstance(direction, Tensor):
        along = _unit(model, direction)
    else:
        layer, feature = place_of(model, direction)
        along = _unit(model, vectors(model, layer, torch.tensor([feature]))[0])
    best = torch.empty(0), torch.empty(0, 2, dtype=torch.int64)
    parts = [(layer, part) for layer in wanted for part in blocks(model, layer, decoders=to == "decoder")]
    for layer, part in Progress(progress).steps(parts, f"{to}s"):
        similarity = torch.nn.functional.normalize(vectors(model, layer, part), dim=1) @ along
        places = torch.stack([torch.full_like(part, layer), part], 1)
        joined = torch.cat([best[0], similarity]), torch.cat([best[1], places])
        top = joined[0].topk(min(k, len(joined[0]))).indices
        best = joined[0][top], joined[1][top]
    return Nearest(to, best[1][:, 0], best[1][:, 1], best[0])


def checked_layers(model: ReplacementModel, layers: Iterable[int] | None) -> tuple[int, ...]:
    """Layers of the dictionary, ascending; None for all.

    Raises:
        ArgumentError: one that it does not cover, or none at all.
    """
    covered = model.transcoder.layers
    wanted = covered if layers is None else tuple(sorted(set(layers)))
    if not wanted or not set(wanted) <= set(covered):
        raise ArgumentError("layers", expected=f"some of {covered}", got=repr(layers))
    return wanted


def _unit(model: ReplacementModel, direction: Tensor) -> Tensor:
    direction = direction.detach().cpu().float()
    if direction.shape != (model.d_model,) or not direction.isfinite().all() or not direction.any():
        raise ArgumentError(
            "direction",
            expected=f"{model.d_model} finite numbers, not all zero",
            got=f"shape {tuple(direction.shape)}" if direction.shape != (model.d_model,) else "zeros, NaN or infinity",
        )
    return direction / direction.norm()
