"""The verbs: `attribute`, from a prompt to an attribution graph, and `estimate`, what that will take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data import Graph, Nodes
from ..data.errors import ArgumentError, NotFiniteError
from ..models import PromptLike, ReplacementModel
from .backward import Rows
from .job import RERANK, Job, choose_batch_size, prepare
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
    job = prepare(model, prompt, targets, position, max_logits, logit_mass, Progress(progress))
    budget = min(max_features or len(job.sources.active), len(job.sources.active))
    chosen, edges, bias = _expand(job, budget, batch_size or choose_batch_size(job), Progress(progress))
    return _graph(
        job,
        chosen,
        edges,
        bias,
        {"max_features": max_features, "max_logits": max_logits, "logit_mass": logit_mass},
    )


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
    batch_size: int | None = None,
) -> Estimate:
    """Say what `attribute` with the same arguments will take: runs its first phases, then a sample of its rows.

    Raises:
        As `attribute`.
    """
    _check_counts(max_features=max_features, batch_size=batch_size)
    start = time.perf_counter()
    job = prepare(model, prompt, targets, position, max_logits, logit_mass, Progress(False))
    prepared = time.perf_counter()
    active, size = len(job.sources.active), batch_size or choose_batch_size(job)
    rows = min(max_features or active, active) + len(job.targets.shown)
    sample = torch.linspace(0, active - 1, min(active, size)).long()
    for _ in job.rows(sample, size):
        pass
    per_row = (time.perf_counter() - prepared) / max(len(sample), 1)
    columns = job.sources.n_columns
    kept = columns - active + min(max_features or active, active)
    memory = 4 * (
        rows * max(2 * columns, columns + 2 * kept)  # rows and their ranking, then rows and the graph cut out of them
        + size * (job.row_floats + columns)
        + sum(writes.vectors.numel() for writes in job.sources.writes)
        + 4 * model.n_layers * job.sources.tokens.numel()
        + sum(pattern.numel() for pattern in job.captured.patterns)
    )
    return Estimate(active, rows, prepared - start + per_row * rows, memory)


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ArgumentError(name, expected="1 or more, or None", got=str(value))


def _expand(job: Job, budget: int, batch_size: int, progress: Progress) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the features of largest influence, and of the targets.

    Returns:
        chosen (budget,): places in `sources.active`, in the order in which they were expanded; edges (budget + targets,
        columns) and bias (budget + targets,) in that order, targets last.
    """
    active, sources, n_targets = job.sources.active, job.sources, len(job.targets.shown)
    last = torch.full((n_targets,), job.position)
    direct, direct_bias = job.backward(Rows([sources.n_layers] * n_targets, last, job.targets.vectors))
    edges, bias = direct.new_empty(budget + n_targets, sources.n_columns), direct.new_empty(budget + n_targets)
    edges[budget:], bias[budget:] = direct, direct_bias
    chosen, count, everything = torch.empty(budget, dtype=torch.int64), 0, budget == len(active)
    ranking = Ranking(direct, direct.new_tensor([t.probability for t in job.targets.shown]), sources.n_layers)
    with progress.bar("rows", total=budget) as bar:
        while count < budget:
            if everything:
                wanted = torch.arange(budget)
            else:
                influence = ranking.influence()[: len(active)].cpu()
                influence[chosen[:count]] = -1
                wanted = influence.argsort(descending=True, stable=True)[: min(RERANK, budget - count)]
            for done in job.rows(wanted, batch_size):
                here = slice(count, count := count + len(done.features))
                chosen[here], edges[here], bias[here] = done
                if not everything:
                    ranking.add(active.layers[done.features].tolist(), done.features, done.edges)
                bar.update(len(done.features))
    return chosen, edges, bias


def _graph(job: Job, chosen: Tensor, edges: Tensor, bias: Tensor, settings: dict[str, Any]) -> Graph:
    active, model, captured = job.sources.active, job.model, job.captured
    budget, n_active = len(chosen), len(active)
    left_out = torch.zeros(job.sources.n_columns, dtype=edges.dtype)
    left_out[:n_active] = 1
    left_out[chosen] = 0
    bias += edges @ left_out.to(edges.device)
    order = chosen.argsort()  # by (position, layer, feature); stably by layer, that is a graph's order
    order = order[active.layers[chosen[order]].argsort(stable=True)]
    rows = torch.cat([order, torch.arange(budget, len(edges))]).to(edges.device)
    chosen = chosen[order]
    columns = torch.cat([chosen, torch.arange(n_active, job.sources.n_columns)]).to(edges.device)
    edges, bias = edges.index_select(1, columns)[rows], bias[rows]
    if not (edges.isfinite().all() and bias.isfinite().all()):
        raise NotFiniteError("edges", expected="finite numbers", got="NaN or infinity", remedy="check the weight files")
    final = captured.final * captured.final_scale * model.final_gain
    transcoder = model.transcoder
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
        target_pre_activations=torch.cat([active.pre_activations[chosen], (job.targets.vectors @ final).cpu()]),
        targets=job.targets.shown,
        metadata={
            "model": model.name,
            "model_hash": model.fingerprint,
            "dtype": str(model.dtype).removeprefix("torch."),
            "transcoder": transcoder.source,
            "transcoder_hash": transcoder.fingerprint(),
            "transcoder_kind": transcoder.kind,
            "features_per_layer": transcoder.n_features,
            "position": job.position,
            "active_features": n_active,
            **settings,
        },
    )
