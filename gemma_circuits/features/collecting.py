"""The verb `collect`: one pass over a corpus that keeps what every feature fires on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sized
from os import PathLike
from pathlib import Path

import torch

from ..attribution.progress import Progress
from ..data.errors import ArgumentError, CorpusError, GemmaCircuitsError
from ..models import ReplacementModel, free_memory
from ..models.edit import run
from .collection import Collection, Settings, sole
from .corpus import Context, Corpus, contexts
from .location import default_path
from .store import Store, describe
from .tally import BINS, TOKENS, Events

TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 32768}
"""In one forward pass, where no batch size is given."""
CHUNK = 4
"""Batches between which contexts are sorted by length, to pad less."""
FRESH = 2**24
"""Tokens of new contexts that wait for a commit at most."""


def collect(
    model: ReplacementModel,
    corpus: Corpus,
    store: Store | str | PathLike[str] | None = None,
    *,
    context: int = 128,
    window: int = 32,
    examples: int = 20,
    quantiles: int = 5,
    samples: int = 4,
    batch_size: int | None = None,
    tokens: int | None = None,
    checkpoint: float = 120.0,
    progress: bool = True,
) -> Store:
    """Run a model over texts and keep, for every feature, where and how strongly it fires.

    Memory is bounded by the dictionary's size, whatever the corpus's. A run that was interrupted, however it was, goes
    on from its last checkpoint when called again with the same corpus and settings; nothing is counted twice. So does
    one that `tokens` ended, when called with more.

    Args:
        model: the model, with a dictionary of any kind.
        corpus: texts, or lists of token ids (taken as they are): any iterable of these, a column of a Hugging Face
            dataset, a dataset with a column "text", a text file, or a folder of `.txt` files.
        store: where to keep it: a folder or an open store; None for the model's own in the user's data folder.
        context: tokens that the model sees at once, `<bos>` included; longer texts are cut.
        window: tokens kept of an example, three quarters of them before the strongest.
        examples: strongest ones kept of each feature, one of a context.
        quantiles: equal parts that the contexts in which a feature fires are cut into, by their strongest activation.
        samples: examples drawn of each part.
        batch_size: contexts in one forward pass; None to go by the device.
        tokens: stop after this many (to within a context); None to read all. Ignored positions do not count.
        checkpoint: seconds between two commits to the store.
        progress: show a bar with rate and time left.

    Raises:
        CorpusError: a text that cannot be read; what came before is kept.
        ArgumentError: a setting out of range, or another corpus than the one collected before.
        StoreMismatchError: a store of another model, transcoder or settings.
        StoreBusyError: another process is collecting into it.
        NotFiniteError: the model computes NaN or infinity.

    Example:
        >>> collect(load(), ["The capital of Texas is Austin."], "store")  # doctest: +SKIP
    """
    settings = Settings(context, window, examples, quantiles, samples)
    _check(model, settings, batch_size, tokens)
    if isinstance(store, Store):
        with store.writing():  # what comes with the package is left alone: from here on it is the user's copy
            pass
    folder = store.path if isinstance(store, Store) else Path(store) if store is not None else default_path(model)
    with sole(folder):
        opened = store if isinstance(store, Store) else Store(folder, create=describe(model))
        try:
            opened.check(model)
            device = _device(model, settings)
            with torch.no_grad():
                collection = Collection(opened, model, settings, device)
                collection.batch_size = batch_size or collection.batch_size or _batch_size(model, context)
                _collect(collection, corpus, tokens, checkpoint, Progress(progress))
        except BaseException:
            if opened is not store:
                opened.close()
            raise
    return opened


def _collect(collection: Collection, corpus: Corpus, tokens: int | None, checkpoint: float, progress: Progress) -> None:
    size = collection.batch_size or 1
    stream = contexts(collection.model, corpus, collection.settings.context, collection.end, collection.digest)
    stream = stream if tokens is None else _until(stream, tokens - collection.tokens)
    n_texts = len(corpus) if isinstance(corpus, Sized) and not isinstance(corpus, str) else None

    def done() -> int:
        return collection.tokens if tokens is not None or n_texts is None else collection.end[0]

    committed, fresh = time.monotonic(), collection.tokens
    with progress.bar("collect", tokens or n_texts) as bar:
        bar.initial = bar.n = done()
        while chunk := _next(stream, CHUNK * size, collection):
            before = done()
            for share in _tally(collection, chunk, size):
                bar.update(before + round(share * (done() - before)) - bar.n)
            if time.monotonic() - committed >= checkpoint or collection.tokens - fresh >= FRESH:
                collection.commit(complete=False)
                committed, fresh = time.monotonic(), collection.tokens
    if not collection.tokens:
        raise CorpusError("corpus", expected="at least one token", got="none")
    if not collection.complete:
        collection.commit(complete=True)


def _next(stream: Iterator[Context], count: int, collection: Collection) -> list[Context]:
    """The next contexts; where the corpus fails, what was collected so far is kept first."""
    try:
        return list(itertools.islice(stream, count))
    except GemmaCircuitsError:
        if not collection.complete:
            collection.commit(complete=False)
        raise


def _until(stream: Iterator[Context], tokens: int) -> Iterator[Context]:
    """Contexts until there are so many tokens that count."""
    while tokens > 0 and (context := next(stream, None)) is not None:
        tokens -= len(context.token_ids) - context.ignored
        yield context


def _tally(collection: Collection, chunk: list[Context], size: int) -> Iterator[float]:
    """Run the model and the encoders on contexts, those of like length together; yields the share that is done."""
    first = collection.take(chunk).start
    order = sorted(range(len(chunk)), key=lambda number: len(chunk[number].token_ids))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        _batch(collection, [chunk[row] for row in rows], torch.tensor(rows) + first)
        yield (start + len(rows)) / len(order)


def _batch(collection: Collection, batch: list[Context], numbers: torch.Tensor) -> None:
    model, transcoder = collection.model, collection.model.transcoder
    ids = torch.zeros(len(batch), max(len(context.token_ids) for context in batch), dtype=torch.int64)
    counted = torch.zeros_like(ids, dtype=torch.bool)
    for row, context in enumerate(batch):
        ids[row, : len(context.token_ids)] = torch.tensor(context.token_ids)
        counted[row, context.ignored : len(context.token_ids)] = True
    reads: dict[int, torch.Tensor] = {}

    def look(layer: int, value: torch.Tensor) -> None:
        if layer in collection.tallies:
            reads[layer] = value[counted.to(value.device)]

    # Padding stands behind a text, where causal attention does not look: it needs no mask.
    run(model, ids, [(transcoder.reads, look)], logits_to_keep=1)
    rows, positions = counted.nonzero(as_tuple=True)
    numbers, tokens = numbers[rows], ids[counted]
    for layer in transcoder.layers:
        active = transcoder.encode(layer, reads.pop(layer))
        where = active.positions.cpu()
        events = Events(active.features, numbers[where], positions[where], tokens[where], active.activations)
        collection.add(layer, events)


def _check(model: ReplacementModel, settings: Settings, batch_size: int | None, tokens: int | None) -> None:
    values: dict[str, int | None] = {**vars(settings), "batch_size": batch_size, "tokens": tokens}
    for name, value in values.items():
        lowest, highest = 1 + (name == "context"), model.context if name in ("context", "window") else 2**31
        if value is not None and not lowest <= value <= highest:
            raise ArgumentError(name, expected=f"{lowest} to {highest}", got=str(value))


def _batch_size(model: ReplacementModel, context: int) -> int:
    return max(1, TOKENS_AT_ONCE.get(model.device.type, TOKENS_AT_ONCE["cpu"]) // context)


def _device(model: ReplacementModel, settings: Settings) -> torch.device:
    """Tallies stay beside the model where they take less than a quarter of what is free there."""
    kept = settings.examples + settings.quantiles * settings.samples
    size = 4 * (kept * (settings.window + 3) + BINS + 2 * TOKENS + 12)
    size *= len(model.transcoder.layers) * model.transcoder.n_features
    if model.device.type == "cuda" and size < free_memory(model.device) / 4:
        return model.device
    return torch.device("cpu")
