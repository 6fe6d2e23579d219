"""One prompt, ready to be traced: the forward pass, its sources, and rows of edges on request."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.errors import PositionError
from ..models import Capture, Prompt, PromptLike, ReplacementModel, free_memory
from . import sources as _sources
from .backward import Backward, Rows
from .expanded import Expanded, keep_all, keep_share
from .progress import Progress
from .sources import Sources, check_traceable, encode, gather
from .targets import TargetLike, Targets, resolve_targets

MAX_BATCH = 128
"""Rows sent down together at most: batches are as wide as their last position, so small ones waste less."""
RERANK = 256
"""Rows between two rankings of the features still to be expanded."""
STREAMED_BYTES = 2 * 2**30
"""What a batch takes at most where it reads all decoder vectors anew."""


@dataclass(frozen=True)
class Job:
    """One prompt, ready to be traced."""

    model: ReplacementModel
    prompt: Prompt
    position: int
    captured: Capture
    sources: Sources
    targets: Targets
    backward: Backward

    @property
    def row_bytes(self) -> Tensor:
        """(layers + 1,): what a row of a batch takes on its way down, by the layer where it reads; the last: logits."""
        layer, n_positions = self.model.layer(0), self.sources.n_positions
        block = min(n_positions, _sources.BLOCK)
        flowing, width = block * self.model.d_model, layer.value.shape[0] * (n_positions > block)
        carried = [(n_positions - attention.first(n_positions)) * width for attention in self.captured.attentions]
        # A row attends at its own layer too, and flows through those below it and the embeddings.
        held = torch.tensor([*(flowing + values for values in carried), flowing]).cumsum(0)
        passing = held + flowing + block * layer.output.shape[1]
        columns = self.sources.n_columns  # in the end they are there twice: as computed, and as kept
        return 4 * (columns + passing.clamp_min(columns))

    def fitting(self, layers: Tensor) -> int:
        """How many rows that read at such layers go down together: what a tenth of the free memory holds.

        Where every batch reads all decoder vectors anew, a quarter, and more rows: fewer batches read less.
        """
        device, streamed = self.captured.final.device, not self.sources.decoders.held
        free = free_memory(device)
        room = min(free // 4, STREAMED_BYTES) if streamed else free // 10
        taken = max(1, int(self.row_bytes[layers].sum()))
        most = RERANK if streamed or device.type != "cpu" else MAX_BATCH  # accelerators like large products
        return max(1, min(most, room * len(layers) // taken))

    def targets_rows(self, share: float | None = None) -> Expanded:
        """Expand the targets; arguments as in `rows`."""
        count = len(self.targets.shown)
        targets = Rows([self.sources.n_layers] * count, [self.position] * count, self.targets.vectors)
        return self._expanded(torch.empty(0, dtype=torch.int64), targets, share)

    def rows(
        self,
        features: Tensor,
        batch_size: int | None,
        share: float | None = None,
        done: Callable[[float], object] = lambda rows: None,
    ) -> Iterator[Expanded]:
        """Expand features, in batches.

        Args:
            features: their places in `sources.active`.
            batch_size: rows of a batch; None for as many as fit.
            share: of each row that is kept; None for whole rows.
            done: told by how many rows it got further.
        """
        active, transcoder, home = self.sources.active, self.model.transcoder, self.captured.final.device
        if not len(features):
            return  # `split` would yield one empty batch
        # Batches by position, since a batch is as wide as its last position; within one by layer, highest first.
        features = features[active.positions[features].argsort(descending=True, stable=True)]
        size = batch_size or self.fitting(active.layers[features])
        for batch in features.tensor_split(math.ceil(len(features) / size)):
            batch = batch[active.layers[batch].argsort(descending=True, stable=True)]
            layers, counts = active.layers[batch].tolist(), Counter(active.layers[batch].tolist())
            ids = active.features[batch].to(home, non_blocking=True).split(list(counts.values()))
            vectors = torch.cat([transcoder.encoder(layer, own) for layer, own in zip(counts, ids)])
            biases = torch.cat([transcoder.encoder_bias(layer, own) for layer, own in zip(counts, ids)])
            told = 0.0

            def tell(part: float, count: int = len(batch)) -> None:
                nonlocal told
                done(part * count - told)
                told = part * count

            # No name is given to what is yielded: it would keep the batch in memory while the next one is computed.
            yield self._expanded(batch, Rows(layers, active.positions[batch].tolist(), vectors), share, biases, tell)

    def _expanded(
        self,
        features: Tensor,
        rows: Rows,
        share: float | None,
        biases: Tensor | float = 0.0,
        tell: Callable[[float], object] = lambda part: None,
    ) -> Expanded:
        """Rows as they are kept until the graph is made."""
        edges, constant = self.backward(rows, tell)
        tell(1)
        found = features, rows.layers, edges, constant + biases
        if share is None:
            return keep_all(*found)
        return keep_share(*found, n_features=len(self.sources.active), share=share)


def prepare(
    model: ReplacementModel,
    prompt: PromptLike,
    targets: TargetLike | Sequence[TargetLike] | None,
    position: int,
    max_logits: int,
    logit_mass: float,
    progress: Progress,
) -> Job:
    """Run the model and the encoders, gather decoder vectors, resolve targets; arguments and errors of `attribute`."""
    check_traceable(model)
    whole = model.prompt(prompt)
    if not -len(whole) <= position < len(whole):
        raise PositionError("position", expected=f"{-len(whole)} to {len(whole) - 1}", got=str(position))
    position %= len(whole)
    # Cut inside the chat prefix, a prompt is no chat prompt.
    ignored = whole.ignored if whole.ignored <= position + 1 else 1
    with torch.no_grad():
        captured = model.capture(whole.token_ids[: position + 1])
        resolved = resolve_targets(model, captured, targets, max_logits=max_logits, logit_mass=logit_mass)
        active = encode(model, captured, ignored, progress)
        sources = gather(model, captured, active, ignored, progress)
    return Job(model, whole, position, captured, sources, resolved, Backward(model, captured, sources))
