"""The verb `sweep`: many experiments on one prompt, batched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..attribution.progress import Progress
from ..attribution.targets import find_token
from ..data import display
from ..data.errors import ArgumentError, InterventionError
from ..models import Prompt, PromptLike, ReplacementModel, free_memory
from ..models.prompt import token_text
from .baseline import Baseline
from .plan import as_list, check_landing, resolve_all
from .splice import spliced
from .values import Add, Intervention, Set, Steer, describe
from .verbs import Mode, check_mode

MAX_BATCH = 64
"""Experiments in one forward pass at most."""
SHOWN = 20
"""Rows of the table that a sweep shows."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Sweep:
    """What many experiments on one prompt did to the next token.

    Example:
        >>> sweep.logit_difference(" Austin", " Sacramento")  # doctest: +SKIP
    """

    model: ReplacementModel
    prompt: Prompt
    values: tuple[Any, ...]
    """As given, one for each experiment."""
    interventions: tuple[tuple[Intervention, ...], ...]
    """What was made of them."""
    mode: str
    logits: Tensor
    """(experiments, vocabulary) float32: at the last position, the model's own, after a softcap."""
    baseline_logits: Tensor
    """(vocabulary,): likewise before any intervention."""
    raw_logits: Tensor
    """(experiments, vocabulary) float32: before a softcap."""
    baseline_raw_logits: Tensor
    """(vocabulary,): likewise before any intervention."""

    @cached_property
    def probabilities(self) -> Tensor:
        """(experiments, vocabulary) float32."""
        return self.logits.softmax(-1)

    @cached_property
    def kl_divergence(self) -> Tensor:
        """(experiments,) float32, in nats: of the next token's distribution after from that before."""
        before, after = (x.double().log_softmax(-1) for x in (self.baseline_logits, self.logits))
        return (before.exp() * (before - after)).sum(-1).clamp(min=0).float()

    def logit_difference(self, a: str | int, b: str | int) -> Tensor:
        """(experiments,) float32: logit of token `a` minus that of `b` (after a softcap).

        Raises:
            TargetError: not one token, or an id outside the vocabulary.
        """
        return self.logits[:, find_token(self.model, a)] - self.logits[:, find_token(self.model, b)]

    @property
    def leading(self) -> tuple[int, ...]:
        """Ids of the tokens that are the likeliest before, or in some experiment, as they come up."""
        return tuple(dict.fromkeys([int(self.baseline_logits.argmax()), *self.logits.argmax(-1).tolist()]))

    def to_pandas(self, tokens: Sequence[str | int] | None = None) -> Any:
        """A pandas DataFrame, one row for each experiment and token.

        Args:
            tokens: as text or ids; None for those of `leading`.

        Raises:
            TargetError: not one token, or an id outside the vocabulary.
        """
        import pandas

        ids = self.leading if tokens is None else [find_token(self.model, token) for token in tokens]
        before = self.baseline_logits.softmax(-1)
        rows = [
            {
                "value": value,
                "kl_divergence": self.kl_divergence[row].item(),
                "token": token_text(self.model.tokenizer, token_id),
                "token_id": token_id,
                "baseline_logit": self.baseline_logits[token_id].item(),
                "logit": self.logits[row, token_id].item(),
                "baseline_probability": before[token_id].item(),
                "probability": self.probabilities[row, token_id].item(),
            }
            for row, value in enumerate(self.values)
            for token_id in ids
        ]
        return pandas.DataFrame(rows)

    def figure(self, **options: Any) -> Any:
        """A Plotly figure of the dose and its response; options as of `figures.sweep.sweep_figure`."""
        return display.draw(self, **options)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"{self._title()}\n{display.shorten(self.prompt.text)}\n\n{display.text_table(*self._table())}"

    def _repr_html_(self) -> str:
        return display.page(self._title(), self.prompt.text, {"next token": display.html_table(*self._table())})

    def _title(self) -> str:
        return f"Sweep of {len(self)} experiment{'s' * (len(self) != 1)} ({self.mode})"

    def _table(self) -> tuple[list[str], Sequence[list[str] | None]]:
        probabilities, token_ids = self.probabilities[:SHOWN].max(-1)
        rows = zip(self.values, self.kl_divergence.tolist(), token_ids.tolist(), probabilities.tolist())
        shown = [
            [_text(value), f"{kl:.3g}", repr(token_text(self.model.tokenizer, token_id)), f"{probability:.3f}"]
            for value, kl, token_id, probability in rows
        ]
        return ["value", "KL", "likeliest", "p"], [*shown, *[None] * (len(self) > SHOWN)]


def sweep(
    model: ReplacementModel,
    prompt: PromptLike,
    intervention: Steer | Set | Add | Callable[[Any], Intervention | Sequence[Intervention]],
    values: Iterable[Any],
    *,
    mode: Mode = "frozen-attention",
    layers: range | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> Sweep:
    """Make one experiment for each value, in as few forward passes as fit.

    Args:
        model: from `load`.
        prompt: as for `attribute`.
        intervention: `Steer`, `Set` or `Add`, whose number each value replaces; or a function from a value to one or
            several interventions, such as `Ablate`, with nodes for values.
        values: at least one.
        mode: as for `intervene`.
        layers: as for `intervene`.
        batch_size: experiments in one forward pass; None to choose by free memory.
        progress: show a bar for what takes long.

    Raises:
        ArgumentError: no values, or a batch size below 1.
        GemmaCircuitsError: as `intervene`.

    Example:
        >>> sweep(load(), graph.prompt, Steer(node, 1), values=[-2, -1, 0, 1, 2])  # doctest: +SKIP
        >>> sweep(load(), graph.prompt, Ablate, values=graph.nodes.where(kind="feature"))  # doctest: +SKIP
    """
    values, landing = tuple(values), check_mode(model, mode, layers)
    if not values:
        raise ArgumentError("values", expected="at least one", got="none")
    if batch_size is not None and batch_size < 1:
        raise ArgumentError("batch_size", expected="1 or more, or None", got=str(batch_size))
    made = tuple(as_list(_made(intervention, value)) for value in values)
    baseline = Baseline(model, model.prompt(prompt), record=mode != "open")
    plans = resolve_all(baseline, made)
    if landing is not None:
        for plan in plans:
            check_landing(model, plan, landing)
    size, found = batch_size or fitting_batch(baseline), []
    with Progress(progress).bar("experiments", total=len(plans)) as bar:
        for start in range(0, len(plans), size):
            changed, _ = spliced(baseline, plans[start : start + size], mode, landing, logits_to_keep=1)
            found.append((changed.logits[:, -1], changed.raw_logits[:, -1]))
            bar.update(len(found[-1][0]))
    logits, raw_logits = (torch.cat(parts).cpu() for parts in zip(*found))
    return Sweep(
        model=model,
        prompt=baseline.prompt,
        values=values,
        interventions=made,
        mode=mode,
        logits=logits,
        baseline_logits=baseline.run.logits[0, -1].cpu(),
        raw_logits=raw_logits,
        baseline_raw_logits=baseline.run.raw_logits[0, -1].cpu(),
    )


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else display.shorten(describe(value), 40)[1:-1]


def _made(intervention: Any, value: Any) -> Any:
    match intervention:
        case Steer():
            return replace(intervention, factor=value)
        case Set():
            return replace(intervention, value=value)
        case Add():
            return replace(intervention, scale=value)
        case _ if callable(intervention):
            return intervention(value)
    raise InterventionError("sweep", expected="Steer, Set, Add or a function of a value", got=repr(intervention))


def fitting_batch(baseline: Baseline) -> int:
    """As many experiments as a tenth of the free memory holds, at most `MAX_BATCH`."""
    model = baseline.model
    heads = sum(pattern[0].numel() for pattern in baseline.run.patterns[:1])
    floats = 2 * model.vocabulary + len(baseline.prompt) * (3 * model.n_layers + 20) * model.d_model + 2 * heads
    return max(1, min(MAX_BATCH, int(free_memory(model.device) / 10 / 4 / floats)))
