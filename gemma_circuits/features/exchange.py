"""Features of other tools into a store, and a store's features out in their formats."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple

from ..attribution.progress import Progress
from ..data.errors import ArgumentError, StoreError
from ..models import ReplacementModel
from .dashboards import Dashboard
from .effects import logit_effects
from .feature_folders import BAD, INDEX, FeatureFolder, dump, parse, write_folder
from .neuronpedia_batches import read_batches, write_batches
from .store import Store

Layout = Literal["circuit-tracer", "circuit-tracer files", "neuronpedia"]
_AT_ONCE = 256
"""Features written in one transaction."""


class ImportCount(NamedTuple):
    """What an import brought."""

    features: int
    """Features whose published page is now in the store."""
    labels: int
    """New labels."""


def read_features(path: str | PathLike[str]) -> Iterable[Dashboard]:
    """The features in a folder of circuit-tracer's or Neuronpedia's, whichever it is, each read when it is reached.

    Raises:
        FileNotFoundError: no such folder.
        FeatureFileError: it is neither, or a file in it cannot be read.
    """
    return _open(Path(path))[1]


def import_features(
    store: Store,
    source: str | PathLike[str] | Iterable[Dashboard],
    *,
    where: str | None = None,
    progress: bool = True,
) -> ImportCount:
    """Take features of another tool into a store.

    Their labels join the history, with the source `imported:<where>`. Examples, histograms and logits are kept as
    they are, apart from what was collected here: see `imported`. Nothing in such files tells which weights they were
    made from, so that only the numbers of layers and features can be checked. To import again adds nothing twice,
    so that an import that was interrupted is completed by another.

    Args:
        store: of the same dictionary.
        source: a folder of circuit-tracer's or Neuronpedia's features, or the features themselves.
        where: what to call the source; by default "circuit-tracer" or "neuronpedia", whose layout it is.
        progress: show a bar.

    Raises:
        FileNotFoundError, FeatureFileError: see `read_features`.
        FeatureError: a feature that the store's dictionary does not have.
        StoreBusyError: another process is writing.

    Example:
        >>> import_features(store, "gemma-3-1b/7-transcoder-16k")  # doctest: +SKIP
        ImportCount(features=16384, labels=16002)
    """
    if isinstance(source, str | PathLike):
        layout, source = _open(Path(source))
        where = where or layout
    if not where:
        raise ArgumentError("where", expected="a name for the source", got=repr(where))
    features = labels = 0
    waiting = iter(Progress(progress).steps(source, "importing features"))
    while batch := list(islice(waiting, _AT_ONCE)):
        labels += _add_labels(store, batch, f"imported:{where}")
        rows = [(d.layer, d.feature, where, zlib.compress(dump(d.to_json()))) for d in batch]
        with store.writing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO imported (layer, feature, source, content) VALUES (?, ?, ?, ?)", rows
            )
        features += len(batch)
    return ImportCount(features, labels)


def imported(store: Store, layer: int, feature: int) -> dict[str, Dashboard]:
    """What other tools show of a feature, by the name of the source.

    Raises:
        FeatureError: the dictionary has no such feature.
        StoreError: the record is damaged.
    """
    place = store.place(layer, feature)
    query = "SELECT source, content FROM imported WHERE layer = ? AND feature = ? ORDER BY source"
    found = {}
    for where, content in store.rows(query, place):
        try:
            found[where] = Dashboard.from_json(parse(zlib.decompress(content)), *place)
        except BAD as error:
            got = f"{type(error).__name__}: {error}"
            raise StoreError(str(store.file), expected=f"what {where} shows of {layer}/{feature}", got=got) from error
    return found


def export_features(
    store: Store,
    path: str | PathLike[str],
    *,
    layout: Layout = "circuit-tracer",
    model: ReplacementModel | None = None,
    model_id: str | None = None,
    source_set: str = "gemma-circuits",
    features: Iterable[tuple[int, int]] | None = None,
    progress: bool = True,
) -> Path:
    """Write a store's features for another tool: examples, histograms, frequencies, current labels, logits.

    Args:
        store: what to write.
        path: the folder to make.
        layout: "circuit-tracer" (one file for each layer and an index), "circuit-tracer files" (one for each feature),
            "neuronpedia" (batches of JSON lines).
        model: the store's model, to find the tokens that features promote and suppress; without it none are listed.
        model_id: the model's name on Neuronpedia; by default the last part of the store's.
        source_set: the dictionary's name on Neuronpedia.
        features: (layer, feature) of those to write; by default all that fired or have a label.
        progress: show a bar.

    Raises:
        ArgumentError: an unknown layout, or there is something at `path`.
        StorageError: it could not be written; nothing is left at `path`.
        StoreMismatchError: another model than the store's.
        FeatureError, ShardError, StoreError: a feature that cannot be read.
    """
    if layout not in ("circuit-tracer", "circuit-tracer files", "neuronpedia"):
        raise ArgumentError("layout", expected="circuit-tracer, circuit-tracer files or neuronpedia", got=repr(layout))
    if model is not None:
        store.check(model)
    places = sorted(set(features) if features is not None else {*store.keys(), *store.labelled()})

    def dashboards() -> Iterator[Dashboard]:
        for layer, feature in Progress(progress).steps(places, "exporting features"):
            effects = logit_effects(model, (layer, feature)) if model is not None else None
            yield Dashboard.of(store[layer, feature], effects, store.transcoder)

    if layout == "neuronpedia":
        model_id = model_id or store.model_name.rstrip("/").rpartition("/")[2]
        return write_batches(path, dashboards(), model=model_id, source_set=source_set)
    return write_folder(path, dashboards(), packed=layout == "circuit-tracer")


def _open(folder: Path) -> tuple[str, Iterable[Dashboard]]:
    """Name of the layout, and the features."""
    for place in (folder, folder / "features"):
        if (place / INDEX).is_file() or any(place.glob("[0-9]*.json")):
            return "circuit-tracer", FeatureFolder(place).values()
    return "neuronpedia", read_batches(folder)


def _add_labels(store: Store, dashboards: list[Dashboard], source: str) -> int:
    """Add those that are not there; returns how many."""
    new: dict[str, list[tuple[int, int, str, None]]] = {}
    for dashboard in dashboards:
        known = {(label.text, label.author, label.source) for label in store.labels(dashboard.layer, dashboard.feature)}
        for said in dashboard.explanations:
            author = said.author.strip() or "unknown"
            if said.text.strip() and (said.text.strip(), author, source) not in known:
                new.setdefault(author, []).append((dashboard.layer, dashboard.feature, said.text, None))
    return sum(store.set_labels(rows, author=author, source=source) for author, rows in new.items())
