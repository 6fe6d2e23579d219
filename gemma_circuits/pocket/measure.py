"""Measurements of the pocket model and its dictionaries: fidelity, full replacement, swaps of a state's features.

Everything works on plain PyTorch hooks and on batches, so that it can serve training as well as tests.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from gemma_circuits.pocket.dictionaries import Dictionary

CHAT_FRAME = 4
"""`<bos><start_of_turn>user` and the line's end: positions without features in a chat; elsewhere `<bos>` alone."""


@contextmanager
def hooked(model, rewrite: Callable[[int, Tensor, Tensor], Tensor | None]) -> Iterator[None]:
    """Let `rewrite(layer, mlp_input, mlp_output)` replace MLP outputs `(batch, positions, d)`; None keeps them."""
    inputs: dict[int, Tensor] = {}
    handles = []
    for index, layer in enumerate(model.model.layers):

        def remember(module, args, output, index=index):
            inputs[index] = output

        def write(module, args, output, index=index):
            return rewrite(index, inputs[index], output)

        handles.append(layer.pre_feedforward_layernorm.register_forward_hook(remember))
        handles.append(layer.post_feedforward_layernorm.register_forward_hook(write))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def record(model, ids: Tensor, logits: bool = True) -> tuple[Tensor, Tensor, Tensor | None]:
    """MLP inputs and outputs `(L, batch, positions, d)` and logits `(batch, positions, vocabulary)`, or None."""
    xs, ys = [], []
    with hooked(model, lambda layer, x, y: (xs.append(x), ys.append(y), None)[2]):
        found = model(input_ids=ids).logits if logits else model.model(input_ids=ids) and None
    return torch.stack(xs), torch.stack(ys), found


def counted(ids: Tensor, pad: int, turn: int) -> Tensor:
    """Positions `(batch, positions)` where features live: not padding, not `<bos>`, not the frame of a chat."""
    kept = ids != pad
    kept[:, 0] = False
    chat = ids[:, 1] == turn
    kept[chat, :CHAT_FRAME] = False
    return kept


def collect(model, batches: Sequence[Tensor], pad: int, turn: int, copies: int | None = None) -> tuple[Tensor, Tensor]:
    """MLP inputs and outputs `(L, N, d)` at the counted positions of right-padded batches of ids.

    `copies`: what a position holds depends on the tokens up to it alone, and "The capital of the state" begins most
    sentences; each such beginning is taken at most so many times. None: as often as it occurs.
    """
    xs, ys, seen = [], [], Counter()
    for ids in batches:
        kept = counted(ids, pad, turn)
        if copies is not None:
            for row, position in kept.nonzero().tolist():
                beginning = tuple(ids[row, : position + 1].tolist())
                seen[beginning] += 1
                kept[row, position] = seen[beginning] <= copies
        x, y, _ = record(model, ids, logits=False)
        xs.append(x[:, kept])
        ys.append(y[:, kept])
    return torch.cat(xs, 1), torch.cat(ys, 1)


@torch.no_grad()
def fidelity(dictionary: Dictionary, x: Tensor, y: Tensor) -> tuple[list[float], list[float], list[float]]:
    """Per layer: unexplained variance, features active at a position, share of features that never fire."""
    fvu, l0, dead, activations = [], [], [], []
    for layer in range(len(x)):
        activations.append(dictionary.encode(x[layer], layer))
        error = (y[layer] - dictionary.decode(activations, x[layer], layer)).double()
        spread = (y[layer].double() - y[layer].double().mean(0)).square().sum()
        fvu.append((error.square().sum() / spread).item())
        l0.append((activations[-1] > 0).float().sum(-1).mean().item())
        dead.append((activations[-1] > 0).sum(0).eq(0).float().mean().item())
    return fvu, l0, dead


@torch.no_grad()
def replaced_logits(model, dictionary: Dictionary, ids: Tensor, kept: Tensor) -> Tensor:
    """Logits when every MLP output at the `kept` positions is the dictionary's, inputs recomputed as it goes."""
    activations: list[Tensor] = []

    def rewrite(layer: int, x: Tensor, y: Tensor) -> Tensor:
        # Positions that are not kept have no features, so nothing of theirs is written anywhere.
        activations.append(dictionary.encode(x, layer) * kept[..., None])
        return torch.where(kept[..., None], dictionary.decode(activations, x, layer), y)

    with hooked(model, rewrite):
        return model(input_ids=ids).logits
