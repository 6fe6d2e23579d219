"""Every MLP replaced by what the dictionary makes of its input, without errors: how far does that carry the model?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...attribution.progress import Progress
from ...models import Prompt, ReplacementModel
from ...models.edit import Look, run
from ...transcoders.protocol import Site


class FullReplacement(NamedTuple):
    """What is left of the model when all MLP outputs are the dictionary's; nothing is frozen.

    Leading positions that dictionaries ignore keep their MLP outputs, here and in the ablations.
    """

    texts: int
    positions: int
    """Where next tokens are predicted, of all texts."""
    top1: float
    """Share of positions with the model's own likeliest token."""
    kl: float
    """Nats: mean divergence of the replacement's distribution from the model's."""
    cross_entropy: float
    """Nats per token of the texts: the model's; NaN, like all that follows, of texts without a next token."""
    replaced: float
    """Likewise with all MLPs replaced."""
    zeroed: float
    """Likewise with all MLP outputs zero."""
    averaged: float
    """Likewise with every MLP output the mean of its layer over all texts."""

    @property
    def recovered_from_zero(self) -> float:
        """Share of what zero ablation costs in cross-entropy that the replacement saves; NaN if it costs nothing."""
        return _recovered(self.zeroed, self.replaced, self.cross_entropy)

    @property
    def recovered_from_mean(self) -> float:
        """Likewise of mean ablation."""
        return _recovered(self.averaged, self.replaced, self.cross_entropy)


def full_replacement(model: ReplacementModel, prompts: Sequence[Prompt], progress: Progress) -> FullReplacement:
    """Run texts with all MLPs replaced, and with all of them ablated.

    Args:
        model: with a dictionary that stands in for every MLP.
        prompts: at least one.
        progress: makes the bar.
    """
    sums: list[Tensor | int] = [0] * model.n_layers
    count, totals, followed = 0, torch.zeros(6, dtype=torch.float64), 0
    with progress.bar("full replacement", total=2 * len(prompts)) as bar:
        for prompt in prompts:
            found: dict[int, Tensor] = {}
            _run(model, prompt, [(Site.MLP_OUT, lambda layer, out, found=found: found.update({layer: out[0]}))])
            sums = [total + found[layer][prompt.ignored :].sum(0) for layer, total in enumerate(sums)]
            count += len(prompt) - prompt.ignored
            bar.update()
        means = [torch.as_tensor(total) / count for total in sums]
        for prompt in prompts:
            totals += _compare(model, prompt, means)
            followed += len(prompt) - prompt.ignored - 1
            bar.update()
    entropies = (totals[2:] / (followed or float("nan"))).tolist()
    return FullReplacement(len(prompts), count, *(totals[:2] / count).tolist(), *entropies)


def _compare(model: ReplacementModel, prompt: Prompt, means: Sequence[Tensor]) -> Tensor:
    """(6,) float64: sums over a text's positions, in the order of the fields of `FullReplacement`."""
    own = _run(model, prompt, [])
    instead = _run(model, prompt, _replacing(model, prompt.ignored))
    zeroed = _run(model, prompt, _filling(prompt.ignored, lambda layer, out: torch.zeros_like(out)))
    averaged = _run(model, prompt, _filling(prompt.ignored, lambda layer, out: means[layer].expand_as(out)))
    following = torch.tensor(prompt.token_ids[prompt.ignored + 1 :], dtype=torch.int64, device=own.device)[:, None]
    entropies = [-x[:-1].gather(1, following).sum() for x in (own, instead, zeroed, averaged)]
    agreeing = (own.argmax(-1) == instead.argmax(-1)).sum().double()
    return torch.stack([agreeing, (own.exp() * (own - instead)).sum(), *entropies]).cpu()


def _run(model: ReplacementModel, prompt: Prompt, looks: Sequence[tuple[Site, Look]]) -> Tensor:
    """(positions, vocabulary) float64: log-probabilities of the next token, at positions that are not ignored."""
    return run(model, torch.tensor([prompt.token_ids]), looks).logits[0, prompt.ignored :].double().log_softmax(-1)


def _filling(ignored: int, fill: Callable[[int, Tensor], Tensor]) -> list[tuple[Site, Look]]:
    def write(layer: int, out: Tensor) -> Tensor:
        return torch.cat([out[:, :ignored], fill(layer, out[:, ignored:])], 1)

    return [(Site.MLP_OUT, write)]


def _replacing(model: ReplacementModel, ignored: int) -> list[tuple[Site, Look]]:
    transcoder, writes = model.transcoder, dict[int, Tensor]()

    def read(layer: int, x: Tensor) -> None:
        x = x[0, ignored:]
        active = transcoder.encode(layer, x)
        vectors = transcoder.decoder(layer, active.features) * active.activations[:, None, None]
        for output, written in zip(transcoder.written(layer), vectors.unbind(1)):
            if output not in writes:
                writes[output] = transcoder.decoder_bias(output).to(x.device).repeat(len(x), 1)
            writes[output].index_add_(0, active.positions, written.to(x.device))
        if (skip := transcoder.skip(layer)) is not None:
            writes[layer] += x @ skip.to(x.device)

    return [
        (transcoder.reads, read),
        *_filling(ignored, lambda layer, out: writes.pop(layer).to(out.device)[None]),
    ]


def _recovered(ablated: float, replaced: float, own: float) -> float:
    return (ablated - replaced) / (ablated - own) if ablated > own else float("nan")
