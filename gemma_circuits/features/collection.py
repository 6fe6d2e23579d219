"""A collection under way: tallies in memory, and their atomic commit to a store, from which it can go on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.errors import StoreMismatchError
from ..models import ReplacementModel
from ..models.prompt import token_text
from . import schema, shards
from .corpus import Context
from .store import Store
from .tally import BINS, LOW, Events, Tally

INDEXED = 5
"""Examples of each feature that a search for text looks into."""


@dataclass(frozen=True)
class Settings:
    """What makes two collections comparable."""

    context: int
    """Tokens of a context at most."""
    window: int
    """Tokens kept of an example."""
    examples: int
    """Strongest examples of each feature."""
    quantiles: int
    """Parts that the sample is cut into."""
    samples: int
    """Examples in each."""


class Collection:
    """What was collected so far into one store, by one model.

    Args:
        store: its place; what is there already is read back.
        model: the model.
        settings: must be those of what is there.
        device: where to keep the tallies.

    Raises:
        StoreMismatchError: the store was collected with other settings.
        ShardError: a damaged file: the collection cannot go on.
    """

    def __init__(self, store: Store, model: ReplacementModel, settings: Settings, device: torch.device) -> None:
        self.store, self.model, self.settings = store, model, settings
        found = store.collection
        if found and found["settings"] != asdict(settings):
            raise StoreMismatchError(
                store.path.name,
                expected="the settings that it was collected with: " + _listed(found["settings"]),
                got=_listed(asdict(settings)),
                remedy="pass those, or collect into another folder",
            )
        self.tokens: int = found.get("tokens", 0)
        """Counted so far, ignored positions left out."""
        self.contexts: int = found.get("contexts", 0)
        self.end: tuple[int, int] = tuple(found.get("end", (0, 0)))
        self.digest: str = found.get("digest", "")
        self.batch_size: int | None = found.get("batch_size")
        self.complete: bool = found.get("complete", False)
        self._fresh: list[tuple[int, np.ndarray]] = []
        sizes = {"examples": settings.examples, "samples": settings.quantiles * settings.samples}
        self.tallies = {
            layer: Tally(store.n_features, layer, window=settings.window, device=device, **sizes)
            for layer in store.layers
        }
        if found:
            self._read()

    def take(self, chunk: list[Context]) -> range:
        """Give numbers to contexts that are about to be tallied; returns them."""
        numbers = range(self.contexts, self.contexts + len(chunk))
        self.complete = False
        self._fresh += [(number, np.array(c.token_ids, "<i4")) for number, c in zip(numbers, chunk)]
        self.contexts = numbers.stop
        self.tokens += sum(len(c.token_ids) - c.ignored for c in chunk)
        self.end, self.digest = chunk[-1].end, chunk[-1].digest
        return numbers

    def add(self, layer: int, events: Events) -> None:
        """Tally the activations of one layer on contexts that were taken."""
        self.tallies[layer].add(events)

    def commit(self, *, complete: bool) -> None:
        """Write all to the store: whole, or what was there before stays."""
        store = self.store
        (made,) = store.row("SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key = 'shards'")
        old = [name for (name,) in store.rows("SELECT name FROM shards")]
        clean(store.path, set(old))
        (store.path / shards.FOLDER).mkdir(exist_ok=True)
        written = []
        for layer, tally in self.tallies.items():
            for first in range(0, store.n_features, shards.FEATURES):
                last, name = min(first + shards.FEATURES, store.n_features), f"{made + len(written):04}.safetensors"
                blocks: dict[shards.Kind, shards.Block] = {kind: tally.pack(kind, first, last) for kind in shards.KINDS}
                written.append((layer, first, last, name, shards.write(store.path, name, blocks)))
        referenced = self._referenced()
        texts = self._token_texts()
        with store.writing() as database:
            database.execute("DELETE FROM shards")
            database.executemany("INSERT INTO shards VALUES (?, ?, ?, ?, ?)", written)
            for layer, tally in self.tallies.items():
                database.executemany(f"REPLACE INTO features VALUES ({', '.join('?' * 11)})", _rows(layer, tally))
            fresh = ((number, ids.tobytes()) for number, ids in self._fresh if _among(number, referenced))
            database.executemany("INSERT INTO contexts VALUES (?, ?)", fresh)
            database.executemany("INSERT OR IGNORE INTO tokens VALUES (?, ?)", texts)
            values = {"shards": made + len(written), "collection": self._state(complete)}
            rows = [(key, json.dumps(value)) for key, value in values.items()]
            database.executemany("REPLACE INTO meta VALUES (?, ?)", rows)
            if complete:
                self._index(database, referenced)
        self._fresh, self.complete = [], complete
        clean(store.path, {row[3] for row in written})

    def _state(self, complete: bool) -> dict[str, Any]:
        return {
            "settings": asdict(self.settings),
            "tokens": self.tokens,
            "contexts": self.contexts,
            "end": self.end,
            "digest": self.digest,
            "batch_size": self.batch_size,
            "complete": complete,
        }

    def _referenced(self) -> np.ndarray:
        """Numbers of the contexts that some example is from, ascending."""
        found = [
            (LOW - (keys[keys >= 0] & LOW)).unique().cpu().numpy()
            for tally in self.tallies.values()
            for keys in tally.keys.values()
        ]
        return np.unique(np.concatenate(found))

    def _token_texts(self) -> Iterator[tuple[int, str]]:
        """Every token of the contexts that are new."""
        if not self._fresh:
            return iter(())
        ids = np.unique(np.concatenate([ids for _, ids in self._fresh])).tolist()
        return ((i, token_text(self.model.tokenizer, i)) for i in ids)

    def _index(self, database: sqlite3.Connection, referenced: np.ndarray) -> None:
        """Drop the contexts that no example is from any more, and index the text of the others."""
        database.execute("CREATE TEMP TABLE referenced (id INTEGER PRIMARY KEY)")
        database.executemany("INSERT INTO referenced VALUES (?)", ((number,) for number in referenced.tolist()))
        database.execute("DELETE FROM contexts WHERE id NOT IN (SELECT id FROM referenced)")
        database.execute("DROP TABLE referenced")
        texts = dict(database.execute("SELECT id, text FROM tokens"))
        rows = database.execute("SELECT id, token_ids FROM contexts").fetchall()
        joined = ((i, "".join(texts[token] for token in np.frombuffer(blob, "<i4").tolist())) for i, blob in rows)
        database.execute("INSERT INTO contexts_text (contexts_text) VALUES ('delete-all')")
        database.executemany("INSERT INTO contexts_text (rowid, text) VALUES (?, ?)", joined)
        database.execute("DELETE FROM uses")
        for layer, tally in self.tallies.items():
            keys = tally.keys["top"].topk(min(INDEXED, self.settings.examples), dim=1).values
            features, _ = (keys >= 0).nonzero(as_tuple=True)
            contexts = LOW - (keys[keys >= 0] & LOW)
            uses = ((context, layer, feature) for context, feature in zip(contexts.tolist(), features.tolist()))
            database.executemany("INSERT INTO uses VALUES (?, ?, ?)", uses)

    def _read(self) -> None:
        """Take the tallies back out of the store."""
        for layer, first, _last, name, digest in self.store.rows("SELECT * FROM shards"):
            for kind, block in shards.read(self.store.path, name, digest).items():
                self.tallies[layer].unpack(kind, first, block)
        for row in self.store.rows("SELECT * FROM features"):
            layer, feature, count, contexts, total, largest, first, histogram, ids, counts, token_error = row
            tally, bins = self.tallies[layer], np.frombuffer(histogram, "<i4").copy()
            tally.count[feature], tally.contexts[feature], tally.total[feature] = count, contexts, total
            tally.max[feature], tally.token_error[feature] = largest, token_error
            tally.histogram[feature, first : first + len(bins)] = torch.from_numpy(bins)
            tokens, counts = (torch.from_numpy(np.frombuffer(blob, "<i4").astype(np.int64)) for blob in (ids, counts))
            tally.tokens[feature, : len(tokens)] = counts << 32 | (LOW - tokens)


@contextmanager
def sole(folder: Path) -> Iterator[None]:
    """Be the only process that collects into a folder; the lock ends with the process, however that ends.

    Raises:
        StoreBusyError: another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "collect.lock", timeout=0, isolation_level=None)) as lock:
        with schema.explained(folder):
            lock.execute("BEGIN EXCLUSIVE")
        yield


def clean(folder: Path, names: set[str]) -> None:
    """Delete shards of other names: replaced ones, and what an interrupted run left."""
    for path in (folder / shards.FOLDER).glob("*"):
        if path.name not in names:
            path.unlink(missing_ok=True)


def _rows(layer: int, tally: Tally) -> Iterator[tuple]:
    fired = tally.count.nonzero().squeeze(1)
    columns = (tally.count, tally.contexts, tally.total, tally.max, tally.token_error)
    figures = zip(fired.tolist(), *(column[fired].tolist() for column in columns))
    histograms = tally.histogram[fired].cpu().numpy().astype("<i4")
    first = (histograms > 0).argmax(1).tolist()
    last = (BINS - (histograms[:, ::-1] > 0).argmax(1)).tolist()
    keys = tally.tokens[fired].sort(dim=1, descending=True).values.cpu().numpy()
    held = (keys >= 0).sum(1).tolist()
    ids, counts = (LOW - (keys & LOW)).astype("<i4"), (keys >> 32).astype("<i4")
    for row, (feature, count, contexts, total, largest, token_error) in enumerate(figures):
        histogram = histograms[row, first[row] : last[row]].tobytes()
        tokens, times = (array[row, : held[row]].tobytes() for array in (ids, counts))
        yield layer, feature, count, contexts, total, largest, first[row], histogram, tokens, times, token_error


def _among(number: int, ordered: np.ndarray) -> bool:
    place = int(np.searchsorted(ordered, number))
    return place < len(ordered) and int(ordered[place]) == number


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
