"""The verbs: `attribute`, from a prompt to an attribution graph, and `estimate`, what that will take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..data import Graph, Nodes
from ..data.errors import ArgumentError, NotFiniteError
from ..models import PromptLike, ReplacementModel, free_memory
from .expanded import LONG, WHOLE_BYTES, Expanded
from .job import RERANK, Job, prepare
from .precision import Precision, check_precision, products
from .progress import Progress
from .ranking import Ranking
from .targets import TargetLike


def attribute(
    model: ReplacementModel,
    prompt: PromptLike,
    *,
    targets: TargetLike | Sequence[TargetLike] | None = None,
    position: int = -1,
    max_logits: int = 10,
    logit_mass: float = 0.95,
    max_features: int | None = 8192,
    keep: float | None = None,
    precision: Precision = "float32",
    batch_size: int | None = None,
    progress: bool = True,
) -> Graph:
    """Trace which features, errors and tokens produced the logits at one position, and through which edges.

    Attention patterns and norm denominators are frozen at their value on this prompt, so that every edge is exact:
    `graph.check()` says how exact. Method: Ameisen et al. 2025, "Circuit Tracing", transformer-circuits.pub, section
    "Constructing an Attribution Graph for a Prompt".

    Args:
        model: from `load`.
        prompt: a string (`<bos>` is put before it), token ids (taken as they are), or chat messages (the chat template
            is applied; a last message of the assistant is left open).
        targets: tokens as text (" Austin", not "Austin") or ids, `LogitDifference`, `Direction` or a (d,) tensor; one
            or several. None for the fewest top tokens whose probability reaches `logit_mass`, at most `max_logits`.
        position: the position traced, from 0, negative ones from the end; the same as cutting the prompt after it.
        max_logits: 1 or more.
        logit_mass: above 0, at most 1.
        max_features: keep so many features, those of largest influence on the targets; None for all that fire.
        keep: share of each row of edges that is stored, above 0 to 1: the smallest edges from features are left out.
            Rows keep their exact sums, so that influence and scores are off by no more than that share. None: 1,
            or 0.999 for prompts so long that the rows of all features that fire take over 2 GiB (on an accelerator: a
            quarter of what is free there).
        precision: what the factors of an edge's products are rounded to, if the hardware is faster that way; sums stay
            float32. "tf32" for accelerators, "bfloat16" for CPUs (on CUDA it means "tf32"). Activations are computed as
            ever, so that `graph.check()` says what it costs.
        batch_size: targets sent down together; None to choose by free memory.
        progress: show a bar for what takes long.

    Raises:
        PromptError, TargetError, PositionError, ArgumentError: what was asked for cannot be done.
        MismatchError: the dictionary does not stand in for every MLP.
        NotFiniteError: the model or the transcoder holds NaN or infinity.

    Example:
        >>> graph = attribute(load(), "The capital of the state containing Dallas is")
        >>> graph.targets[0].token
        ' Austin'
    """
    _check_counts(max_features=max_features, batch_size=batch_size)
    _check_keep(keep)
    check_precision(precision)
    job = prepare(model, prompt, targets, position, max_logits, logit_mass, Progress(progress))
    budget, share = _settle(job, max_features, keep)
    with products(precision):
        rows = _expand(job, budget, share, batch_size, Progress(progress))
    settings = {"max_features": max_features, "max_logits": max_logits, "logit_mass": logit_mass, "keep": share or 1.0}
    return _graph(job, rows, settings | {"precision": precision})


@dataclass(frozen=True)
class Estimate:
    """What tracing a prompt will take."""

    active: int
    """Features that fire."""
    rows: int
    """Features that will be expanded, and logits."""
    seconds: float
    memory: int
    """Bytes beyond the model's own."""

    def __repr__(self) -> str:
        return (
            f"{self.rows:,} rows of {self.active:,} active features: about {self.seconds:.1f} s "
            f"and {self.memory / 2**30:.2f} GiB beyond the model's own"
        )


def estimate(
    model: ReplacementModel,
    prompt: PromptLike,
    *,
    targets: TargetLike | Sequence[TargetLike] | None = None,
    position: int = -1,
    max_logits: int = 10,
    logit_mass: float = 0.95,
    max_features: int | None = 8192,
    keep: float | None = None,
    precision: Precision = "float32",
    batch_size: int | None = None,
) -> Estimate:
    """Say what `attribute` with the same arguments will take: runs its first phases, then a batch of its rows.

    Raises:
        GemmaCircuitsError: as `attribute`.
    """
    _check_counts(max_features=max_features, batch_size=batch_size)
    _check_keep(keep)
    check_precision(precision)
    start = time.perf_counter()
    job = prepare(model, prompt, targets, position, max_logits, logit_mass, Progress(False))
    prepared = time.perf_counter()
    layers = job.sources.active.layers
    budget, share = _settle(job, max_features, keep)
    active, size = len(layers), batch_size or job.fitting(layers)
    sample, stored = torch.linspace(0, active - 1, min(active, size)).long(), 0
    with products(precision):
        for rows in job.rows(sample, size, share):
            stored += rows.nbytes
    rows = budget + len(job.targets.shown)
    scale = rows / max(len(sample), 1)
    seconds = prepared - start + (time.perf_counter() - prepared) * scale
    columns = job.sources.n_columns
    memory = job.sources.decoders.resident + int(stored * scale)
    memory += int(job.row_bytes[layers[sample]].sum())
    memory += 4 * (
        2 * rows * (columns - active + budget)  # the graph, cut out of the rows
        + 4 * model.n_layers * job.sources.tokens.numel()
        + sum(attention.query.numel() + attention.key.numel() for attention in job.captured.attentions)
    )
    return Estimate(active, rows, seconds, memory)


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ArgumentError(name, expected="1 or more, or None", got=str(value))


def _check_keep(keep: float | None) -> None:
    if keep is not None and not 0 < keep <= 1:
        raise ArgumentError("keep", expected="a share above 0 and at most 1, or None", got=repr(keep))


def _settle(job: Job, max_features: int | None, keep: float | None) -> tuple[int, float | None]:
    """How many features are expanded, and the share of their rows that is stored; None: whole, as they come."""
    active, device = len(job.sources.active), job.captured.final.device
    budget = min(max_features or active, active)
    room = WHOLE_BYTES if device.type == "cpu" else max(WHOLE_BYTES, free_memory(device) // 4)
    return budget, None if budget * active * 4 <= room and keep in (None, 1) else keep or LONG


def _expand(job: Job, budget: int, share: float | None, batch_size: int | None, progress: Progress) -> list[Expanded]:
    """Rows of the `budget` features of largest influence, batch by batch, then those of the targets."""
    active, found = job.sources.active, []
    everything = budget == len(active)
    targets = job.targets_rows(share)
    weights = targets.edges.new_tensor([target.probability for target in job.targets.shown])
    ranking = Ranking(targets, weights, len(active), job.sources.n_layers)
    chosen = torch.zeros(len(active), dtype=torch.bool)
    with progress.bar("rows", total=budget) as bar:
        while (count := int(chosen.sum())) < budget:
            if everything:
                wanted = torch.arange(budget)
            else:
                influence = ranking.influence().cpu().masked_fill_(chosen, -1)
                wanted = influence.argsort(descending=True, stable=True)[: min(RERANK, budget - count)]
            chosen[wanted] = True
            for rows in job.rows(wanted, batch_size, share, bar.update):
                found.append(rows)
                if not everything:
                    ranking.add(rows)
    return [*found, targets]


def _graph(job: Job, found: list[Expanded], settings: dict[str, Any]) -> Graph:
    active, model, captured = job.sources.active, job.model, job.captured
    places = torch.cat([rows.features for rows in found])
    order = places.argsort()  # by (position, layer, feature); stably by layer, that is a graph's order
    order = order[active.layers[places[order]].argsort(stable=True)]
    chosen, n_active = places[order], len(active)
    row_of = torch.empty_like(order)
    row_of[order] = torch.arange(len(order))
    count = len(chosen) + len(job.targets.shown)
    edges = torch.empty(count, len(chosen) + job.sources.n_columns - n_active, dtype=torch.float32)
    bias, rest = edges.new_empty(count), edges.new_zeros(count)
    for rows in found:
        own = row_of[: len(rows.features)] if len(rows.features) else torch.arange(len(chosen), count)
        row_of = row_of[len(rows.features) :]
        kept, left_out = rows.cut(chosen.to(rows.edges.device), n_active)
        edges[own], total = kept.cpu(), rows.bias + left_out
        if rows.rest is not None:
            total, rest[own] = total + rows.rest[0], rows.rest[1].cpu()
        bias[own] = total.cpu()
    if not (edges.isfinite().all() and bias.isfinite().all()):
        raise NotFiniteError("edges", expected="finite numbers", got="NaN or infinity", remedy="check the weight files")
    final = captured.final * captured.final_scale * model.final_gain
    return Graph(
        prompt=job.prompt.text,
        tokens=job.prompt.tokens,
        token_ids=job.prompt.token_ids,
        nodes=Nodes.build(
            features=torch.stack([active.layers, active.positions, active.features], 1)[chosen],
            activations=active.activations[chosen],
            error_layers=range(model.n_layers),
            token_ids=job.prompt.token_ids[: job.position + 1],
            targets=job.targets.shown,
            n_layers=model.n_layers,
        ),
        edges=edges,
        target_bias=bias,
        target_rest=rest,
        target_pre_activations=torch.cat([active.pre_activations[chosen], (job.targets.vectors @ final).cpu()]),
        targets=job.targets.shown,
        metadata={
            **model.metadata,
            "features_per_layer": model.transcoder.n_features,
            "position": job.position,
            "active_features": n_active,
            **settings,
        },
    )
