"""One forward pass with a batch of plans spliced in, one to a row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data.errors import NotFiniteError
from ..models import ReplacementModel
from ..models.edit import Look, Run, run
from ..transcoders.protocol import Site
from .baseline import Baseline
from .encoding import activations_at, reconstruct, written_from
from .imposed import Change, Cut, Plan
from .places import Place


class Clamps(NamedTuple):
    """What is imposed at one layer: n features, or n errors or directions (then old and new are (n, d))."""

    rows: Tensor
    """(n,) int64, like the next two: place in the batch."""
    positions: Tensor
    features: Tensor
    old: Tensor
    new: Tensor


class Splice:
    """The callbacks of one or more passes: `(new - old) * W_dec` is added on the layers that a feature writes.

    Args:
        model: the model.
        plans: one for each row of the batch.
        baseline: what `frozen` layers are frozen at; `old` is its activation then, and else the current one.
        frozen: layers whose MLP output is frozen, but for an affine skip, which follows its input.
        landing: layers where writes land; None for all.
    """

    def __init__(
        self,
        model: ReplacementModel,
        plans: Sequence[Plan],
        *,
        baseline: Baseline | None = None,
        frozen: frozenset[int] = frozenset(),
        landing: frozenset[int] | None = None,
    ) -> None:
        self.transcoder, self.plans, self.baseline = model.transcoder, plans, baseline
        self.frozen = frozen
        self.landing = frozenset(range(model.n_layers)) if landing is None else landing
        self.features = {layer: _clamps([plan.features for plan in plans], layer) for layer in self.transcoder.layers}
        self.errors = {layer: _clamps([plan.errors for plan in plans], layer) for layer in self.transcoder.layers}
        self.reads: dict[int, Tensor] = {}
        """By layer (batch, positions, d_in): of the last pass."""
        self._writes: dict[int, Tensor] = {}

    @property
    def looks(self) -> list[tuple[Site, Look]]:
        """What `models.edit.run` calls."""
        freeze: list[tuple[Site, Look]] = [(Site.MLP_OUT, self._freeze)] if self.frozen else []
        return [*freeze, (self.transcoder.reads, self._read), (self.transcoder.writes, self._write)]

    def _freeze(self, layer: int, out: Tensor) -> Tensor | None:
        if layer not in self.frozen or self.baseline is None:
            return None
        out = self.baseline.mlp_outs[layer].expand(len(out), -1, -1)
        if (skip := self.baseline.skips.get(layer)) is not None:
            out = out + (self.reads[layer] - self.baseline.reads[layer]) @ skip
        return out

    def _read(self, layer: int, x: Tensor) -> None:
        self.reads[layer] = x
        if layer not in self.features:
            return
        for index, plan in enumerate(self.plans):
            for place, vector in plan.added:
                if place.layer == layer:
                    self._to(layer, x)[index, place.position] += vector.to(x.device)
        clamps, n_positions = self.features[layer], x.shape[1]
        if len(clamps.rows):
            old = clamps.old.to(x.device)
            if not self.frozen:
                places = clamps.rows * n_positions + clamps.positions
                old = activations_at(self.transcoder, layer, x.flatten(0, 1), places, clamps.features)
            self._write_features(layer, x, clamps, clamps.new.to(x.device) - old)
        for index, plan in enumerate(self.plans):
            if plan.cut is not None:
                self._cut(layer, x, index, plan.cut, plan.features)

    def _cut(self, layer: int, x: Tensor, index: int, cut: Cut, imposed: Collection[Place]) -> None:
        """Set every feature that the circuit of a row leaves out to zero, or to its mean."""
        frozen_at = self.baseline if self.frozen else None
        active = self.transcoder.encode(layer, x[index] if frozen_at is None else frozen_at.reads[layer])
        mean = None if cut.means is None else cut.means[layer].to(x.device)
        meant = active.features[:0] if mean is None else mean.nonzero()[:, 0]
        features = torch.cat([active.features, meant]).unique()
        change = x.new_zeros(x.shape[1], len(features))
        change[active.positions, torch.searchsorted(features, active.features)] = -active.activations
        if mean is not None:
            change += mean[features]
        touched = torch.zeros_like(change, dtype=torch.bool)
        touched[sorted(cut.positions)] = True
        for place in (*cut.kept, *imposed):
            if place.layer == layer:
                touched[place.position, features == place.feature] = False
        vectors = self.transcoder.decoder(layer, features).to(x.device)
        self._land(
            layer, x, (torch.tensor(index, device=x.device),), torch.einsum("pf,fld->lpd", change * touched, vectors)
        )

    def _write_features(self, layer: int, x: Tensor, clamps: Clamps, change: Tensor) -> None:
        vectors = self.transcoder.decoder(layer, clamps.features).to(x.device) * change[:, None, None]
        places = clamps.rows.to(x.device), clamps.positions.to(x.device)
        self._land(layer, x, places, vectors.transpose(0, 1))

    def _land(self, layer: int, x: Tensor, places: tuple[Any, ...], written: Tensor) -> None:
        """Keep what features of a layer write, (layers written, ...), for the layers where it lands."""
        for index, output in written_from(self.transcoder, layer):
            if output in self.landing:
                self._to(output, x).index_put_(places, written[index], accumulate=True)

    def _to(self, layer: int, x: Tensor) -> Tensor:
        """(plans, positions, d_out): what is still to be added at a layer."""
        known = self._writes.get(layer)
        if known is None:
            known = x.new_zeros(len(self.plans), x.shape[1], self.transcoder.d_out)
        self._writes[layer] = known.to(x.device)
        return self._writes[layer]

    def _write(self, layer: int, out: Tensor) -> Tensor | None:
        clamps = self.errors.get(layer)
        if clamps is not None and len(clamps.rows) and layer in self.landing:
            places = clamps.rows.to(out.device), clamps.positions.to(out.device)
            old = clamps.old.to(out.device)
            if not self.frozen:
                here = {
                    source: x[clamps.rows.to(x.device).clamp(max=len(x) - 1), clamps.positions.to(x.device)]
                    for source, x in self.reads.items()
                }
                old = out[places] - reconstruct(self.transcoder, layer, {s: x.to(out.device) for s, x in here.items()})
            self._to(layer, out).index_put_(places, clamps.new.to(out.device) - old, accumulate=True)
        written = self._writes.pop(layer, None)
        if written is None:
            return None
        if not written.square().sum().isfinite():  # norms square it, and would make zeros of such a residual stream
            raise too_large()
        return out + written[: len(out)].to(out.device)


def _clamps(rows: Sequence[dict[Place, Change]], layer: int) -> Clamps:
    found = [
        (row, place, change)
        for row, known in enumerate(rows)
        for place, change in known.items()
        if place.layer == layer
    ]
    places = torch.tensor([(row, *place[1:]) for row, place, _ in found], dtype=torch.int64).reshape(-1, 3)

    def joined(values: list) -> Tensor:
        return torch.stack(values) if values and isinstance(values[0], Tensor) else torch.tensor(values)

    return Clamps(*places.unbind(1), *(joined([change[i] for _, _, change in found]) for i in range(2)))


def spliced(
    baseline: Baseline, plans: Sequence[Plan], mode: str, layers: frozenset[int] | None, *, logits_to_keep: int = 0
) -> tuple[Run, dict[int, Tensor]]:
    """Run a batch of plans on the baseline's prompt, one row each; modes and layers as in `intervene`.

    A plan joins the batch at the first layer that it changes: below, all are the prompt as it is.

    Returns:
        the pass, and by layer what the dictionary reads: (batch, positions, d_in).

    Raises:
        NotFiniteError: what was imposed overflows.
    """
    direct, model = mode == "direct", baseline.model
    frozen = frozenset(range(model.n_layers)) if direct else layers or frozenset()
    firsts = torch.tensor([plan.first for plan in plans])
    order = firsts.argsort(stable=True)
    splice = Splice(model, [plans[i] for i in order.tolist()], baseline=baseline, frozen=frozen, landing=layers)
    changed = run(
        model,
        torch.tensor([baseline.prompt.token_ids]),
        splice.looks,
        patterns=None if mode == "open" else baseline.run.patterns,
        scales=baseline.run.scales if direct else None,
        replaced=frozen,
        logits_to_keep=logits_to_keep,
        rows=[min(int((firsts <= layer).sum()) + 1, len(plans)) for layer in range(model.n_layers)],
    )
    if not changed.logits.isfinite().all():
        raise too_large()
    place = order.argsort()
    logits = changed.logits[place.to(changed.logits.device)]
    raw_logits = logits if changed.raw_logits is changed.logits else changed.raw_logits[place.to(logits.device)]
    reads = {layer: x[place.to(x.device).clamp(max=len(x) - 1)] for layer, x in splice.reads.items()}
    return replace(changed, logits=logits, raw_logits=raw_logits), reads


def too_large() -> NotFiniteError:
    """The error of what overflows."""
    return NotFiniteError("interventions", expected="finite logits", got="NaN or infinity", remedy="impose less")
