"""What the model does on a prompt before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import torch
from torch import Tensor

from ..data.errors import MismatchError, NotFiniteError
from ..models import Prompt, ReplacementModel
from ..models.edit import READ_ONLY, Run, run
from ..transcoders.protocol import Site
from .encoding import activations_at, reconstruct
from .places import Place


class Baseline:
    """One forward pass, and what the dictionary reads and writes in it.

    Args:
        model: the model.
        prompt: what it runs on.
        record: keep what can be frozen: attention patterns and norm denominators.

    Raises:
        MismatchError: a dictionary that writes where nothing can.
        NotFiniteError: the model computes NaN or infinity on this prompt.
    """

    def __init__(self, model: ReplacementModel, prompt: Prompt, *, record: bool = True) -> None:
        transcoder = model.transcoder
        if transcoder.writes in READ_ONLY:
            raise MismatchError(
                f"transcoder {transcoder.source}",
                expected="one that writes where the model writes",
                got=f"one that writes {transcoder.writes}",
            )
        self.model, self.prompt = model, prompt
        self.reads: dict[int, Tensor] = {}
        """By layer (positions, d_in) float32."""
        self.mlp_outs: dict[int, Tensor] = {}
        """By layer (positions, d): what the MLP block adds to the residual stream."""
        self._outs: dict[int, Tensor] = {}

        def keep(kept: dict[int, Tensor]):
            return lambda layer, value: kept.update({layer: value[0]})

        self.run: Run = run(
            model,
            torch.tensor([prompt.token_ids]),
            [
                (transcoder.reads, keep(self.reads)),
                (Site.MLP_OUT, keep(self.mlp_outs)),
                (transcoder.writes, keep(self._outs)),
            ],
            record=record,
        )
        if not self.run.logits.isfinite().all():
            raise NotFiniteError(
                "model",
                expected="finite logits",
                got="NaN or infinity",
                remedy="check the weight files; float16 overflows on Gemma, bfloat16 does not",
            )
        self._errors: dict[int, Tensor] = {}
        self._activations: dict[Place, float] = {}
        self._means: dict[tuple[int, bool, tuple[Prompt, ...]], Tensor] = {}
        self._others: dict[tuple[int, ...], Baseline] = {prompt.token_ids: self}

    def of(self, prompt: Prompt) -> Baseline:
        """That of another prompt, run once."""
        if prompt.token_ids not in self._others:
            self._others[prompt.token_ids] = Baseline(self.model, prompt, record=False)
        return self._others[prompt.token_ids]

    def activations(self, places: Iterable[Place]) -> list[float]:
        """Activations of features; computed for all together that are not known yet."""
        places = list(places)
        unknown = dict.fromkeys(place for place in places if place not in self._activations)
        for layer in dict.fromkeys(place.layer for place in unknown):
            mine = [place for place in unknown if place.layer == layer]
            _, rows, features = torch.tensor(mine, dtype=torch.int64).unbind(1)
            found = activations_at(self.model.transcoder, layer, self.reads[layer], rows, features)
            self._activations |= dict(zip(mine, found.tolist()))
        return [self._activations[place] for place in places]

    def error(self, layer: int, position: int) -> Tensor:
        """(d_out,): what the model has at the dictionary's writing site, minus what the dictionary makes of it."""
        if layer not in self._errors:
            self._errors[layer] = self._outs[layer] - reconstruct(self.model.transcoder, layer, self.reads)
        return self._errors[layer][position]

    def mean(self, layer: int, over: tuple[Prompt, ...] = (), *, error: bool = False) -> Tensor:
        """Mean activations (features,), or the mean error (d_out,), over positions that are not ignored.

        Args:
            layer: where features read, or errors stand.
            over: reference prompts, run once each; none for this prompt itself.
            error: the error's mean instead of the activations'.
        """
        key = layer, error, over
        if key not in self._means:
            found = [baseline._sum(layer, error) for baseline in (map(self.of, over) if over else (self,))]
            sums, counts = zip(*found)
            self._means[key] = torch.stack(sums).sum(0) / sum(counts)
        return self._means[key]

    def _sum(self, layer: int, error: bool) -> tuple[Tensor, int]:
        """Activations or errors summed over positions that are not ignored, and their number."""
        x = self.reads[layer][self.prompt.ignored :]
        if error:
            self.error(layer, 0)
            return self._errors[layer][self.prompt.ignored :].sum(0), len(x)
        active = self.model.transcoder.encode(layer, x)
        return x.new_zeros(self.model.transcoder.n_features).index_add_(0, active.features, active.activations), len(x)

    @cached_property
    def skips(self) -> dict[int, Tensor]:
        """The affine skips, by layer, of layers that have one."""
        transcoder = self.model.transcoder
        skips = {layer: transcoder.skip(layer) for layer in transcoder.layers}
        return {layer: skip.to(self.reads[layer].device) for layer, skip in skips.items() if skip is not None}
