"""What is kept of a dictionary's activations while a corpus streams by: bounded, vectorised, the same in every run.

Whatever competes for a place (examples, tokens) carries one integer key: what decides in the upper half, the number of
the context or token in the lower. Keys of one feature never tie, so neither order nor chance decides what stays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .shards import KINDS, Block, Kind

LOWEST_OCTAVE, OCTAVES, BINS_PER_OCTAVE = -12, 28, 4
BINS = OCTAVES * BINS_PER_OCTAVE
EDGES = tuple(2.0 ** (LOWEST_OCTAVE + i // 4) * (1 + i % 4 / 4) for i in range(BINS + 1))
"""Of the histogram: every power of two and three values evenly between it and the next."""
TOKENS = 32
"""Different tokens that are counted for each feature."""
LOW = 2**32 - 1
EMPTY, PAD = -1, -2


class Events(NamedTuple):
    """Activations of one layer's features on some contexts, ordered by (context, position, feature); all (n,)."""

    features: Tensor
    contexts: Tensor
    """Number of the context in the corpus."""
    positions: Tensor
    """In the context."""
    tokens: Tensor
    """Token id there."""
    activations: Tensor
    """float32, above 0."""


class Tally:
    """Counts and examples of the features of one layer.

    Args:
        n_features: of the layer.
        layer: the model's layer, which the draw of the sample depends on.
        examples: strongest ones kept of each feature.
        samples: uniformly drawn ones kept.
        window: tokens kept around the strongest, three quarters of them before it.
        device: where to keep all this.
    """

    def __init__(
        self, n_features: int, layer: int, *, examples: int, samples: int, window: int, device: torch.device
    ) -> None:
        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(n_features, *shape, dtype=dtype, device=device)

        self.n_features, self.layer, self.window, self.device = n_features, layer, window, device
        self.count, self.contexts = zeros(), zeros()
        self.total, self.max = zeros(dtype=torch.float64), zeros(dtype=torch.float32)
        self.histogram = zeros(BINS, dtype=torch.int32)
        self.tokens, self.token_error = torch.full_like(zeros(TOKENS), EMPTY), zeros()
        """Keys of the tokens fired on: count and token."""
        sizes: dict[Kind, int] = {"top": examples, "sample": samples}
        self.keys = {kind: torch.full_like(zeros(sizes[kind]), EMPTY) for kind in KINDS}
        self.positions = {kind: zeros(sizes[kind], dtype=torch.int32) for kind in KINDS}
        self.windows = {kind: zeros(sizes[kind], window, dtype=torch.float32) for kind in KINDS}

    @property
    def before(self) -> int:
        """Tokens kept before the strongest."""
        return 3 * self.window // 4

    def add(self, events: Events) -> None:
        """Take in the activations of contexts that were not seen before."""
        if not len(events.features):
            return
        order = events.features.to(self.device).argsort(stable=True)
        features, contexts, positions, tokens, activations = (column.to(self.device)[order] for column in events)
        self.count += features.bincount(minlength=self.n_features)
        self.total.index_put_((features,), activations.double(), accumulate=True)
        self.max.scatter_reduce_(0, features, activations, "amax")
        bins = (activations.view(torch.int32) >> 21) - (127 + LOWEST_OCTAVE) * BINS_PER_OCTAVE
        places = features * BINS + bins.clamp(0, BINS - 1)
        ones = torch.ones_like(places, dtype=torch.int32)
        self.histogram.view(-1).index_put_((places,), ones, accumulate=True)
        self._count_tokens(features, tokens)

        new = torch.ones_like(features, dtype=torch.bool)
        new[1:] = (features[1:] != features[:-1]) | (contexts[1:] != contexts[:-1])
        starts, group = new.nonzero().squeeze(1), new.cumsum(0) - 1
        lengths = torch.diff(starts, append=starts.new_tensor([len(features)]))
        highest = activations.new_zeros(len(starts)).scatter_reduce_(0, group, activations, "amax")
        is_highest = (activations == highest[group]).nonzero().squeeze(1)
        peaks = torch.full_like(starts, len(features)).scatter_reduce_(0, group[is_highest], is_highest, "amin")
        features, contexts, low = features[starts], contexts[starts], LOW - contexts[starts]
        self.contexts += features.bincount(minlength=self.n_features)
        strength = {
            "top": highest.view(torch.int32).long(),
            "sample": _draw(features + self.layer * self.n_features, contexts),
        }
        for kind in KINDS:
            chosen, slots = keep(self.keys[kind], features, strength[kind] << 32 | low)
            peak = positions[peaks[chosen]]
            self.positions[kind].view(-1)[slots] = peak.int()
            owner, source = _spread(starts[chosen], lengths[chosen])
            offset = positions[source] - peak[owner] + self.before
            inside = (offset >= 0) & (offset < self.window)
            rows = activations.new_zeros(len(chosen), self.window)
            rows[owner[inside], offset[inside]] = activations[source[inside]]
            self.windows[kind].view(-1, self.window)[slots] = rows

    def _count_tokens(self, features: Tensor, tokens: Tensor) -> None:
        """Count by token, exactly while a feature fires on `TOKENS` different ones, to within `token_error` after.

        Misra and Gries's summary, merged as by Agarwal et al. (Mergeable Summaries, 2012): of all counts the largest
        that has no place is subtracted from those that have one.
        """
        pairs, counts = (features << 32 | tokens).unique(return_counts=True)
        features, tokens = pairs >> 32, pairs & LOW
        held = self.tokens[features]
        same = (held >= 0) & (held & LOW == (LOW - tokens)[:, None])
        known, slot = same.nonzero(as_tuple=True)
        self.tokens[features[known], slot] += counts[known] << 32
        other = (~same.any(1)).nonzero().squeeze(1)
        if not len(other):
            return
        owners, lost = features[other].unique_consecutive(), self.tokens.new_zeros(self.n_features)
        keep(self.tokens, features[other], counts[other] << 32 | (LOW - tokens[other]), lost)
        lost = (lost[owners] >> 32).clamp(min=0)
        fewer = self.tokens[owners] - (lost << 32)[:, None]
        self.tokens[owners] = torch.where(fewer >> 32 > 0, fewer, EMPTY)
        self.token_error[owners] += lost

    def pack(self, kind: Kind, first: int, last: int) -> Block:
        """The examples of features `first` to `last - 1`, by falling key."""
        keys, order = self.keys[kind][first:last].sort(dim=1, descending=True)
        there = keys >= 0
        positions = self.positions[kind][first:last].gather(1, order)[there]
        windows = self.windows[kind][first:last][torch.arange(last - first, device=self.device)[:, None], order][there]
        fires, offsets = windows.nonzero(as_tuple=True)
        return Block(
            starts=_starts(there.sum(1)),
            contexts=(LOW - (keys[there] & LOW)).cpu().numpy(),
            positions=positions.cpu().numpy(),
            fires=_starts((windows != 0).sum(1)),
            offsets=(offsets - self.before).short().cpu().numpy(),
            values=windows[fires, offsets].cpu().numpy(),
        )

    def unpack(self, kind: Kind, first: int, block: Block) -> None:
        """Take back what `pack` made."""
        per_feature, per_example = np.diff(block.starts), np.diff(block.fires)
        feature = torch.from_numpy(np.repeat(np.arange(len(per_feature)) + first, per_feature))
        slot = torch.from_numpy(np.arange(len(feature)) - np.repeat(block.starts[:-1], per_feature))
        contexts = torch.from_numpy(block.contexts)
        rows = torch.zeros(len(feature), self.window)
        example = torch.from_numpy(np.repeat(np.arange(len(per_example)), per_example))
        rows[example, torch.from_numpy(block.offsets).long() + self.before] = torch.from_numpy(block.values)
        if kind == "top":
            strength = rows[:, self.before].view(-1).contiguous().view(torch.int32).long()
        else:
            strength = _draw(feature + self.layer * self.n_features, contexts)
        place = feature.to(self.device), slot.to(self.device)
        self.keys[kind][place] = (strength << 32 | (LOW - contexts)).to(self.device)
        self.positions[kind][place] = torch.from_numpy(block.positions).to(self.device)
        self.windows[kind][place] = rows.to(self.device)


def keep(held: Tensor, owners: Tensor, keys: Tensor, lost: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Let candidates take the places of smaller keys, in place.

    Args:
        held: (n, k) int64: the keys of each owner, `EMPTY` where a place is free.
        owners: (m,) int64: row of `held` that each candidate belongs to.
        keys: (m,) int64: of the candidates; no two of one owner are equal.
        lost: (n,) int64, filled with the largest key of each of these owners that has no place; None to leave that.

    Returns:
        Which candidates came in, and the place of each in `held.view(-1)`.
    """
    k = held.shape[1]
    if lost is None:  # most candidates of a long run fail here
        candidates = (keys > held.amin(1)[owners]).nonzero().squeeze(1)
    else:
        candidates = torch.arange(len(keys), device=keys.device)
    if not len(candidates):
        return candidates, candidates
    order = keys[candidates].argsort(descending=True)
    candidates = candidates[order][owners[candidates][order].argsort(stable=True)]
    rows, counts = owners[candidates].unique_consecutive(return_counts=True)
    first = counts.cumsum(0) - counts
    row = torch.arange(len(rows), device=keys.device).repeat_interleave(counts)
    rank = torch.arange(len(candidates), device=keys.device) - first[row]
    width = min(k + 1, int(counts.max()))
    near = rank < width
    table = keys.new_full((len(rows), width), PAD)
    table[row[near], rank[near]] = keys[candidates[near]]
    everything = torch.cat([held[rows], table], 1)
    best = everything.topk(k + 1, dim=1)
    if lost is not None:
        lost[rows] = best.values[:, k]
    chosen = torch.zeros_like(everything, dtype=torch.bool).scatter_(1, best.indices[:, :k], True)
    # Row by row as many places become free as candidates come in, so the two lists run side by side.
    row, slot = (~chosen[:, :k]).nonzero(as_tuple=True)
    _, rank = chosen[:, k:].nonzero(as_tuple=True)
    held[rows[row], slot] = table[row, rank]
    return candidates[first[row] + rank], rows[row] * k + slot


def _spread(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """For runs of consecutive numbers, one after the other: which run, and the number."""
    owner = torch.arange(len(starts), device=starts.device).repeat_interleave(lengths)
    within = torch.arange(len(owner), device=starts.device) - (lengths.cumsum(0) - lengths)[owner]
    return owner, starts[owner] + within


def _draw(features: Tensor, contexts: Tensor) -> Tensor:
    """31 bits that look random and depend on nothing else: the multiply and shift steps of splitmix64, signed."""
    x = features * -7046029254386353131 + contexts * -4658895280553007687
    for factor in (-4658895280553007687, -7723592293110705685):
        x = (x ^ (x >> 30 & (1 << 34) - 1)) * factor
    return x >> 33 & (1 << 31) - 1


def _starts(counts: Tensor) -> np.ndarray:
    return np.concatenate([[0], counts.cumsum(0).cpu().numpy()]).astype(np.int32)
