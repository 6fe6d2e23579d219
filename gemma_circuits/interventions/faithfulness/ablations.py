"""Ablations of single features, measured: at the targets, on the next token, and on all other features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...attribution.progress import Progress
from ...data import Graph
from ...models import ReplacementModel
from ..baseline import Baseline
from ..plan import resolve_all
from ..splice import spliced
from ..sweeps import fitting_batch
from ..values import Ablate, Intervention, Set


class Outcome(NamedTuple):
    """What the model predicts after experiments, at the traced position."""

    target: Tensor
    """(experiments,) float64: mean of the targets' logits, weighted by probability, each less the vocabulary's mean."""
    kl: Tensor
    """(experiments,) float64, in nats: of the next token's distribution after from that before."""
    likeliest: Tensor
    """(experiments,) int64: token ids."""


class Ablations(NamedTuple):
    """What ablating chosen features did, and what random features did in their place (NaN where there is none)."""

    own: Outcome
    random: Outcome
    others: list[int]
    """Those random features; -1 for none."""
    fell: Tensor
    """(features of the graph, chosen) float32: by how much the ablations lowered their pre-activations."""
    fell_at_random: Tensor
    """Likewise with the random features."""


class Laboratory:
    """One prompt and its graph, ready for experiments.

    Args:
        model: the model that was traced.
        graph: whose targets are tokens.
        mode: as of `intervene`.
        span: see `faithfulness`.
        batch_size: experiments in one forward pass; None to choose by free memory.
    """

    def __init__(
        self, model: ReplacementModel, graph: Graph, mode: str, span: int | None, batch_size: int | None
    ) -> None:
        self.model, self.graph, self.mode, self.span = model, graph, mode, span
        self.baseline = Baseline(model, model.prompt(graph.token_ids[: graph.n_positions]))
        self.batch_size = batch_size or fitting_batch(self.baseline)
        weights = torch.tensor([target.probability for target in graph.targets], dtype=torch.float64)
        self.weights = weights / weights.sum()
        """(targets,): their probabilities, summing to 1."""
        run = self.baseline.run
        self.before = self._outcome(run.logits, run.raw_logits)
        """Of one experiment, in which nothing is done."""

    def predictions(self, experiments: Sequence[Intervention]) -> Outcome:
        """What is predicted after experiments that no span bounds."""
        plans = resolve_all(self.baseline, [[experiment] for experiment in experiments])
        changed, _ = spliced(self.baseline, plans, self.mode, None, logits_to_keep=1)
        return self._outcome(changed.logits, changed.raw_logits)

    def ablate(self, chosen: Tensor, seed: int, progress: Progress) -> Ablations:
        """Ablate features, indices of the graph's, one by one, and put random ones in their place."""
        count, layers, generator = len(chosen), self.graph.nodes.layer[chosen.numpy()], np.random.default_rng(seed)
        numbers = torch.full((2, 2, count), torch.nan, dtype=torch.float64)
        likeliest, others = torch.full((2, count), -1), [-1] * count
        fell = torch.full((2, self.graph.wiring.n_features, count), torch.nan)
        with progress.bar("ablations", total=count) as bar:
            for layer in np.unique(layers).tolist():
                places, experiments = [], list[Intervention]()
                for column in np.flatnonzero(layers == layer).tolist():
                    node = self.graph.nodes[int(chosen[column])]
                    own = node.layer, node.position, node.feature
                    places.append((0, column))
                    experiments.append(Ablate(own))
                    if (random := self._lookalike(*own, generator)) is not None:
                        others[column], value = random
                        places.append((1, column))
                        experiments.append(Set((layer, node.position, others[column]), value))
                kinds, columns = torch.tensor(places).T
                outcome, fell[kinds, :, columns] = self._run(layer, experiments, bar)
                numbers[kinds, 0, columns], numbers[kinds, 1, columns] = outcome.target, outcome.kl
                likeliest[kinds, columns] = outcome.likeliest
        own, random = (Outcome(target, kl, ids) for (target, kl), ids in zip(numbers, likeliest))
        return Ablations(own, random, others, fell[0], fell[1])

    def _run(self, layer: int, experiments: Sequence[Intervention], bar: Any) -> tuple[Outcome, Tensor]:
        """Make experiments on features of one layer; the tensor is (experiments, features), what fell."""
        plans = resolve_all(self.baseline, [[experiment] for experiment in experiments])
        found = []
        for start in range(0, len(plans), self.batch_size):
            batch = plans[start : start + self.batch_size]
            changed, reads = spliced(self.baseline, batch, self.mode, self._landing(layer), logits_to_keep=1)
            found.append((*self._outcome(changed.logits, changed.raw_logits), self._fell(layer, reads)))
            bar.update(sum(isinstance(item, Ablate) for item in experiments[start : start + self.batch_size]))
        *outcome, fell = (torch.cat(parts) for parts in zip(*found))
        return Outcome(*outcome), fell

    def _landing(self, layer: int) -> frozenset[int] | None:
        """Layers where what a feature of `layer` writes is changed; None for all that it writes."""
        return None if self.span is None else frozenset(range(layer, min(layer + self.span, self.model.n_layers)))

    def _lookalike(
        self, layer: int, position: int, feature: int, generator: np.random.Generator
    ) -> tuple[int, float] | None:
        """A feature that is silent, and the value at which it adds as much as ablating the given one takes away.

        As much: of the same length, over the layers where that is changed.
        """
        transcoder, landing = self.model.transcoder, self._landing(layer)
        pre = transcoder.pre_activations(layer, self.baseline.reads[layer][position, None])
        activations = transcoder.activate(layer, pre)[0].cpu()
        lands = [place for place, to in enumerate(transcoder.written(layer)) if landing is None or to in landing]
        for other in generator.permutation(np.flatnonzero(activations == 0)).tolist():
            vectors = transcoder.decoder(layer, torch.tensor([feature, other]))[:, lands]
            own, its = vectors.flatten(1).norm(dim=1).tolist()
            if its:
                return other, -activations[feature].item() * own / its
        return None

    def _outcome(self, logits: Tensor, raw_logits: Tensor) -> Outcome:
        before, after = (x[:, -1].double().cpu().log_softmax(-1) for x in (self.baseline.run.logits, logits))
        raw, ids = raw_logits[:, -1].double().cpu(), [target.token_id for target in self.graph.targets]
        target = (raw[:, ids] - raw.mean(-1, keepdim=True)) @ self.weights
        return Outcome(target, (before.exp() * (before - after)).sum(-1).clamp(min=0), after.argmax(-1))

    def _fell(self, above: int, reads: dict[int, Tensor]) -> Tensor:
        """(experiments, features of the graph): falls of pre-activations in the layers above one."""
        nodes, n_features = self.graph.nodes, self.graph.wiring.n_features
        out = torch.zeros(len(reads[above]), n_features)
        for layer in range(above + 1, self.model.n_layers):
            here = np.flatnonzero(nodes.layer[:n_features] == layer)
            change = self.baseline.reads[layer] - reads[layer]
            features, positions = (torch.from_numpy(x[here]).to(change.device) for x in (nodes.feature, nodes.position))
            encoders = self.model.transcoder.encoder(layer, features)
            for row, fall in enumerate(change):  # one by one: all rows at all features would take much memory
                out[row, here] = (fall[positions] * encoders).sum(1).cpu()
        return out
