"""Decoder vectors of the active features, a block of positions at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from ..models import free_memory
from ..transcoders import Transcoder

BLOCK_BYTES = 2**28
"""Decoder vectors that are read at a time."""
HELD_BYTES = 5 * 2**30
"""Prompts whose decoder vectors take more, or a quarter of the free memory, do not hold them: every batch of rows
reads them anew. On an accelerator they may take half of what is free there."""

READERS = 4
"""Layers that are read side by side."""


class ActiveFeatures(NamedTuple):
    """All features that fire on the prompt, ordered by (position, layer, feature).

    In this order the features at one position that write to one layer stand side by side, so that their edges are one
    matrix product.
    """

    layers: Tensor
    """(n,) int64, like the next two; on the CPU."""
    positions: Tensor
    features: Tensor
    activations: Tensor
    """(n,) float32, like the next."""
    pre_activations: Tensor

    def __len__(self) -> int:
        return len(self.layers)


class Writes(NamedTuple):
    """Decoder vectors that end in one layer's MLP output."""

    vectors: Tensor
    """(rows, d) float32, ordered by (position, layer, feature)."""
    columns: tuple[slice, ...]
    """Per position: the features that these rows belong to, as places in `ActiveFeatures`."""
    rows: tuple[slice, ...]
    """Per position: the rows."""


class Decoders:
    """What the active features write.

    Args:
        transcoder: reads the vectors.
        active: the features.
        devices: where each layer's vectors go.
        n_positions: of the prompt.
        step: blocks of positions do not cross multiples of it.
    """

    def __init__(
        self,
        transcoder: Transcoder,
        active: ActiveFeatures,
        devices: Sequence[torch.device],
        n_positions: int,
        step: int,
    ) -> None:
        self.transcoder, self.active, self.devices = transcoder, active, devices
        written = torch.tensor([len(transcoder.written(layer)) for layer in transcoder.layers])
        rows = torch.bincount(active.positions, written[active.layers], n_positions)
        sizes = rows * transcoder.d_out * 4
        self.nbytes = int(sizes.sum())
        """Of all vectors."""
        self.blocks = _blocks(sizes.tolist(), step)
        """Positions that are read together."""
        free = free_memory(devices[-1])
        most = min(HELD_BYTES, free // 4) if devices[-1].type == "cpu" else free // 2
        self._held: dict[int, tuple[Writes, ...]] | None = {} if self.nbytes <= most else None

    @property
    def held(self) -> bool:
        """Whether vectors stay in memory once they are read."""
        return self._held is not None

    @property
    def resident(self) -> int:
        """Bytes of vectors in memory at a time, about."""
        return self.nbytes if self.held else min(self.nbytes, 2 * BLOCK_BYTES)

    def within(self, start: int, stop: int) -> Iterator[tuple[slice, tuple[Writes, ...]]]:
        """Blocks that begin at one of these positions, each with what is written there, by layer."""
        for block in self.blocks:
            if start <= block.start < stop:
                yield block, self._read(block)

    def _read(self, block: slice) -> tuple[Writes, ...]:
        if self._held is not None and block.start in self._held:
            return self._held[block.start]
        first, last = torch.searchsorted(self.active.positions, torch.tensor([block.start, block.stop])).tolist()
        here = ActiveFeatures(*(column[first:last] for column in self.active))
        places = _places(self.transcoder, here, block)
        counts = [rows[-1].stop for _, rows, _ in places]
        # One piece of memory goes back to the system when it is not needed any more; many smaller ones would not.
        vectors = torch.empty(sum(counts), self.transcoder.d_out, dtype=torch.float32).split(counts)

        def fill(layer: int) -> None:
            mine = (here.layers == layer).nonzero().squeeze(1)
            read = self.transcoder.decoder(layer, here.features[mine])
            for output, rows in zip(self.transcoder.written(layer), read.unbind(1)):
                # NumPy copies row by row, at twice the speed of index_copy_.
                vectors[output].numpy()[places[output][2][mine].numpy()] = rows.cpu().numpy()

        with ThreadPoolExecutor(READERS) as pool:  # reading and copying leave the interpreter to others
            list(pool.map(fill, here.layers.unique().tolist()))
        writes = tuple(
            Writes(_send(own, device), tuple(slice(c.start + first, c.stop + first) for c in columns), rows)
            for own, device, (columns, rows, _) in zip(vectors, self.devices, places)
        )
        if self._held is not None:
            self._held[block.start] = writes
        return writes


def _send(vectors: Tensor, device: torch.device) -> Tensor:
    return vectors.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else vectors.to(device)


def _blocks(sizes: list[int], step: int) -> list[slice]:
    """Neighbouring positions of at most `BLOCK_BYTES` together, or one, within multiples of `step`."""
    blocks, start, held = [], 0, 0
    for position, size in enumerate(sizes):
        if position > start and (position % step == 0 or held + size > BLOCK_BYTES):
            blocks.append(slice(start, position))
            start, held = position, 0
        held += size
    return [*blocks, slice(start, len(sizes))]


def _places(
    transcoder: Transcoder, active: ActiveFeatures, block: slice
) -> list[tuple[tuple[slice, ...], tuple[slice, ...], Tensor]]:
    """Per output layer: columns and rows of each position, and each active feature's row (meaningless for others)."""
    places, count, depth = [], block.stop - block.start, len(transcoder.layers) + 1
    positions = active.positions - block.start
    for output in transcoder.layers:
        writers = torch.tensor([layer for layer in transcoder.layers if output in transcoder.written(layer)])
        writing = torch.isin(active.layers, writers)
        counts = torch.bincount(positions[writing], minlength=count).tolist()
        firsts = torch.searchsorted(positions * depth + active.layers, torch.arange(count) * depth + writers.min())
        columns = tuple(slice(first, first + size) for first, size in zip(firsts.tolist(), counts))
        rows = tuple(slice(a, b) for a, b in itertools.pairwise(itertools.accumulate(counts, initial=0)))
        places.append((columns, rows, writing.cumsum(0) - 1))
    return places
