"""The feature store: one SQLite file beside sharded examples, in one folder.

    features.sqlite     figures of every feature that fired, contexts, labels, notes, the text index (`schema.py`)
    shards/NNNN.safetensors     examples, a run of features of one layer in each (`shards.py`)

Any number of processes may read while one writes; a write is there whole or not at all, also after `kill -9`. Shards
are written first and count only once the database names them. Labels and notes are only ever added.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.errors import FeatureError, GemmaCircuitsError, ShardError, StoreError, StoreMismatchError
from . import shards
from .book import Book
from .records import Example, Feature, Histogram, Quantile, Statistics, TokenCount
from .tally import EDGES

if TYPE_CHECKING:
    from ..models import ReplacementModel

Found = tuple[int, int, np.ndarray, np.ndarray]


class Store(Book):
    """What is known of a dictionary's features. Open one with `gemma_circuits.features.open`.

    Threads may share one. Reading a feature's examples reads one shard, the rest is in the database.

    Args:
        path: its folder.
        create: what to write into `meta` where there is no store yet; None to refuse then.
        copy: where to copy the store before the first write, which then goes there; None to write in place.

    Example:
        >>> store = gmc.features.open(model=gmc.load())  # doctest: +SKIP
        >>> store[3, 120].examples[0].text  # doctest: +SKIP
        '<bos>The capital of the state containing Dallas is'
    """

    def __init__(self, path: Path, *, create: dict[str, Any] | None = None, copy: Path | None = None) -> None:
        super().__init__(path, create=create is not None, copy=copy)
        try:
            if create is not None and self.row("SELECT 1 FROM meta") is None:
                with self.writing() as database:
                    rows = [(key, json.dumps(value)) for key, value in create.items()]
                    database.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", rows)
            self._meta = {key: json.loads(value) for key, value in self.rows("SELECT key, value FROM meta")}
            self.model_name, self.transcoder = str(self._meta["model"]), str(self._meta["transcoder"])
            self.kind, self.n_features = str(self._meta["kind"]), int(self._meta["n_features"])
            self.layers = tuple(map(int, self._meta["layers"]))
        except (KeyError, TypeError, ValueError) as error:
            self.close()
            if isinstance(error, StoreError):
                raise
            raise StoreError(str(self.file), expected="a whole feature store", got=f"{error!r} in meta") from error

    @property
    def collection(self) -> dict[str, Any]:
        """How and how far examples were collected; empty before that."""
        row = self.row("SELECT value FROM meta WHERE key = 'collection'")
        return json.loads(row[0]) if row else {}

    @property
    def n_tokens(self) -> int:
        """Tokens collected over, ignored positions left out."""
        return self.collection.get("tokens", 0)

    @property
    def n_contexts(self) -> int:
        """Contexts collected over."""
        return self.collection.get("contexts", 0)

    def __len__(self) -> int:
        return self.row("SELECT count(*) FROM features")[0]

    def __contains__(self, key: object) -> bool:
        match key:
            case (int(layer), int(feature)):
                return layer in self.layers and 0 <= feature < self.n_features
        return False

    def keys(self, layer: int | None = None) -> list[tuple[int, int]]:
        """(layer, feature) of all features that fired, ascending."""
        return list(self.statistics(layer))

    def __iter__(self) -> Iterator[Feature]:
        return (self[key] for key in self.keys())

    def statistics(self, layer: int | None = None) -> Statistics:
        """The figures of all features that fired, or of one layer's, as arrays.

        Raises:
            StoreError: the file is damaged.
        """
        columns = "layer, feature, count, contexts, total / count, max"
        where, arguments = ("", ()) if layer is None else ("WHERE layer = ?", (layer,))
        rows = self.rows(f"SELECT {columns} FROM features {where} ORDER BY layer, feature", arguments)
        with self._legible("the figures of features"):
            arrays = [np.array([row[i] for row in rows], np.int64 if i < 4 else np.float64) for i in range(6)]
        return Statistics(*arrays, n_tokens=self.n_tokens)

    def __getitem__(self, key: tuple[int, int]) -> Feature:
        """All that is known of a feature.

        Raises:
            FeatureError: the dictionary has none of this number.
            ShardError: the file with its examples is damaged; `statistics` and `labels` still answer.
        """
        layer, feature = self.place(*key)
        shard = None
        while True:
            try:
                with self._legible(f"the record of feature {layer}/{feature}"), self.snapshot():
                    return self._feature(layer, feature)
            except FileNotFoundError as error:
                if shard == (shard := error.filename):  # else a collection put another in its place in between
                    raise ShardError(
                        f"{shards.FOLDER}/{Path(shard).name}",
                        expected="the examples of this feature",
                        got="no such file",
                        remedy="the other features are not touched; restore the file, or collect anew",
                    ) from error

    @contextmanager
    def _legible(self, expected: str) -> Iterator[None]:
        """Turn what values of a damaged file lead to into an error of ours."""
        try:
            yield
        except GemmaCircuitsError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise StoreError(
                str(self.file),
                expected=expected,
                got=f"{type(error).__name__}: {error}",
                remedy="restore the store from a copy, or collect anew into another folder",
            ) from error

    def _feature(self, layer: int, feature: int) -> Feature:
        row = self.row("SELECT * FROM features WHERE layer = ? AND feature = ?", (layer, feature))
        label = self.label(layer, feature)
        if row is None:
            return Feature(layer, feature, label, 0, 0, 0.0, 0.0, 0.0, Histogram((), ()), (), (), (), 0)
        count, contexts, total, largest, first, histogram, token_ids, counts, token_error = row[2:]
        bins, collection = np.frombuffer(histogram, "<i4"), self.collection
        ids = np.frombuffer(token_ids, "<i4").tolist()
        found, texts = self._found(layer, feature), self.texts(ids)
        examples = self._examples([example for kind in shards.KINDS for example in found[kind]])
        n_top = len(found["top"])
        return Feature(
            layer=layer,
            feature=feature,
            label=label,
            count=count,
            contexts=contexts,
            frequency=count / collection["tokens"],
            mean=total / count,
            max=largest,
            histogram=Histogram(EDGES[first : first + len(bins) + 1], tuple(bins.tolist())),
            examples=tuple(examples[:n_top]),
            quantiles=_quantiles(examples[n_top:], collection["settings"]["quantiles"]),
            top_tokens=tuple(TokenCount(i, texts[i], n) for i, n in zip(ids, np.frombuffer(counts, "<i4").tolist())),
            token_error=token_error,
        )

    def _found(self, layer: int, feature: int) -> dict[shards.Kind, list[Found]]:
        """What the shard of a feature has on it."""
        query = "SELECT first, name, digest FROM shards WHERE layer = ? AND first <= ? AND ? < last"
        first, name, digest = self.row(query, (layer, feature, feature)) or (0, None, "")
        if name is None:
            return {kind: [] for kind in shards.KINDS}
        return {kind: block.of(feature - first) for kind, block in shards.read(self.path, name, digest).items()}

    def _examples(self, found: list[Found]) -> list[Example]:
        numbers = {context for context, *_ in found}
        query = f"SELECT id, token_ids FROM contexts WHERE id IN ({', '.join('?' * len(numbers))})"
        contexts = {number: np.frombuffer(blob, "<i4") for number, blob in self.rows(query, numbers)}
        if missing := numbers - contexts.keys():
            remedy = "restore the store from a copy, or collect anew"
            raise StoreError(str(self.file), expected=f"context {min(missing)}", got="none", remedy=remedy)
        texts = self.texts(np.unique(np.concatenate([*contexts.values(), np.empty(0, np.int32)])).tolist())
        window, examples = self.collection["settings"]["window"], []
        for context, position, offsets, values in found:
            start = position - 3 * window // 4
            first = max(0, start)
            ids = contexts[context][first : start + window].tolist()
            activations = np.zeros(len(ids), np.float32)
            activations[offsets + position - first] = values
            tokens = tuple(texts[i] for i in ids)
            examples.append(
                Example(context, position, tuple(ids), tokens, tuple(activations.tolist()), position - first)
            )
        return examples

    def check(self, model: ReplacementModel) -> None:
        """Refuse to be used with a model or transcoder other than those it was made from.

        Raises:
            StoreMismatchError: it is another one.
        """
        theirs = describe(model)
        for name in ("transcoder", "model"):
            digest = f"{name}_fingerprint"  # empty for a model that was not opened from files: there the name must do
            if self._meta[digest] != theirs[digest] or (not theirs[digest] and self._meta[name] != theirs[name]):
                raise StoreMismatchError(
                    f"store {self.path.name}",
                    expected=f"the {name} that it was made from, {self._meta[name]} ({self._meta[digest][:12]})",
                    got=f"{theirs[name]} ({theirs[digest][:12]})",
                    remedy="open another store, or collect one for this model",
                )

    def place(self, layer: int, feature: int) -> tuple[int, int]:
        """Layer and feature as plain numbers.

        Raises:
            FeatureError: the dictionary has no such feature.
        """
        layer, feature = int(layer), int(feature)
        if (layer, feature) not in self:
            layers = ", ".join(map(str, self.layers))
            raise FeatureError(
                f"feature {layer}/{feature} of {self.transcoder}",
                expected=f"layers {layers}, features 0 to {self.n_features - 1}",
                got=f"layer {layer}, feature {feature}",
            )
        return layer, feature

    def __repr__(self) -> str:
        collection = self.collection
        how_far = "" if collection.get("complete", True) else " so far"
        tokens = f"over {collection['tokens']:,} tokens{how_far}" if collection else "(nothing collected)"
        (labelled,) = self.row("SELECT count(*) FROM (SELECT DISTINCT layer, feature FROM labels)")
        return (
            f"Store of {len(self):,} features {tokens}, {labelled:,} labelled; "
            f"{self.model_name}, {self.transcoder}; {self.path.name}"
        )


def describe(model: ReplacementModel) -> dict[str, Any]:
    """What a store records of the model and transcoder that it belongs to."""
    transcoder = model.transcoder
    return {
        "model": model.name,
        "model_fingerprint": model.fingerprint,
        "transcoder": transcoder.source,
        "transcoder_fingerprint": transcoder.fingerprint(),
        "kind": transcoder.kind,
        "layers": list(transcoder.layers),
        "n_features": transcoder.n_features,
    }


def _quantiles(sample: list[Example], parts: int) -> tuple[Quantile, ...]:
    """Cut a sample of examples, ordered by activation, into equal parts."""
    ordered = sorted(sample, key=lambda example: example.activation)
    found = []
    for part in range(parts):
        first, last = (round(len(ordered) * (part + more) / parts) for more in (0, 1))
        if mine := ordered[first:last]:
            bounds = part / parts, (part + 1) / parts, mine[0].activation, mine[-1].activation
            found.append(Quantile(*bounds, tuple(reversed(mine))))
    return tuple(found)
