"""What people and programs say of a store's features: labels with their history, notes, and the search for text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import numpy as np

from ..data.errors import ArgumentError
from .database import Database
from .records import SOURCES, Hit, Label, Note

_LABEL = "layer, feature, text, author, source, score, created"
_NOTE = "layer, feature, text, author, created"
_RANK = "CASE WHEN source = 'hand' THEN 0 WHEN source LIKE 'imported:%' THEN 1 ELSE 2 END"


class Book(Database):
    """Labels and notes are only ever added: nothing is overwritten, every one says where it comes from."""

    def place(self, layer: int, feature: int) -> tuple[int, int]:
        """Layer and feature as plain numbers, if there is such a feature."""
        raise NotImplementedError

    def set_label(
        self, layer: int, feature: int, text: str, *, author: str, source: str, score: float | None = None
    ) -> Label:
        """Add a label; those before it stay in the history.

        Args:
            layer: the model's layer.
            feature: number in that layer.
            text: what to call it; empty to withdraw what this source said.
            author: who says so.
            source: "hand", "imported:<where>" or "proposed:<method>".
            score: how well it predicts where the feature fires, if that was measured.

        Raises:
            FeatureError: the dictionary has no such feature.
            ArgumentError: another source, or an author without a name.
            StoreBusyError: another process is writing.
        """
        self.set_labels([(layer, feature, text, score)], author=author, source=source)
        return self.labels(layer, feature)[0]

    def set_labels(self, rows: Iterable[tuple[int, int, str, float | None]], *, author: str, source: str) -> int:
        """Add many labels at once, all or none; returns how many. Arguments and errors of `set_label`."""
        kind, colon, detail = source.partition(":")
        if kind not in SOURCES or bool(colon and detail) == (kind == "hand"):
            raise ArgumentError("source", expected="hand, imported:<where> or proposed:<method>", got=repr(source))
        if not author.strip():
            raise ArgumentError("author", expected="a name", got=repr(author))
        now = _now()
        made = [
            (*self.place(layer, feature), text.strip(), author, source, None if score is None else float(score), now)
            for layer, feature, text, score in rows
        ]
        with self.writing() as database:
            database.executemany(f"INSERT INTO labels ({_LABEL}) VALUES (?, ?, ?, ?, ?, ?, ?)", made)
        return len(made)

    def label(self, layer: int, feature: int) -> Label | None:
        """The current label: the newest by hand, else the newest imported, else the newest proposed one."""
        place = self.place(layer, feature)
        query = f"SELECT {_LABEL} FROM labels WHERE layer = ? AND feature = ? ORDER BY {_RANK}, id DESC"
        return next((Label(*row) for row in _current(self.rows(query, place))), None)

    def labels(self, layer: int, feature: int) -> list[Label]:
        """All labels that it ever had, newest first, withdrawals (empty texts) included."""
        query = f"SELECT {_LABEL} FROM labels WHERE layer = ? AND feature = ? ORDER BY id DESC"
        return [Label(*row) for row in self.rows(query, self.place(layer, feature))]

    def labelled(self) -> dict[tuple[int, int], Label]:
        """The current label of every feature that has one."""
        rows = self.rows(f"SELECT {_LABEL} FROM labels ORDER BY layer, feature, {_RANK}, id DESC")
        found: dict[tuple[int, int], Label] = {}
        for row in _current(rows):
            found.setdefault(row[:2], Label(*row))
        return found

    def add_note(self, layer: int, feature: int, text: str, *, author: str) -> Note:
        """Add a remark. Errors of `set_label`."""
        row = (*self.place(layer, feature), text, author, _now())
        with self.writing() as database:
            database.execute(f"INSERT INTO notes ({_NOTE}) VALUES (?, ?, ?, ?, ?)", row)
        return Note(*row)

    def notes(self, layer: int, feature: int) -> list[Note]:
        """All remarks, newest first."""
        query = f"SELECT {_NOTE} FROM notes WHERE layer = ? AND feature = ? ORDER BY id DESC"
        return [Note(*row) for row in self.rows(query, self.place(layer, feature))]

    def search(self, text: str, *, limit: int = 20) -> list[Hit]:
        """Features with these words in a label (old ones included), a note, or one of their strongest examples.

        Every word must occur, in any order and inflection ("capital" finds "capitals"); labels come first, then notes,
        then examples, each by relevance.

        Raises:
            ArgumentError: no words, or a limit below 1.
        """
        words = " ".join('"' + word.replace('"', '""') + '"' for word in text.split())
        if not words or limit < 1:
            raise ArgumentError("search", expected="words, and a limit of 1 or more", got=f"{text!r}, limit {limit}")
        hits: list[Hit] = []
        for where in ("label", "note"):
            query = f"""SELECT layer, feature, {where}s.text FROM {where}s_text JOIN {where}s
                ON id = {where}s_text.rowid WHERE {where}s_text MATCH ? ORDER BY rank LIMIT ?"""
            hits += [Hit(layer, feature, where, found) for layer, feature, found in self.rows(query, (words, limit))]
        query = """SELECT layer, feature, token_ids FROM contexts_text JOIN uses ON context = contexts_text.rowid
            JOIN contexts ON id = context WHERE contexts_text MATCH ? ORDER BY rank, layer, feature LIMIT ?"""
        for layer, feature, blob in self.rows(query, (words, limit)) if len(hits) < limit else []:
            ids = np.frombuffer(blob, "<i4").tolist()
            texts = self.texts(ids)
            hits.append(Hit(layer, feature, "example", "".join(texts[i] for i in ids)))
        return hits[:limit]


def _current(rows: Iterable[tuple]) -> Iterator[tuple]:
    """Of labels by place, trust, newest first: the newest of each kind of source, unless it is a withdrawal."""
    seen = set()
    for row in rows:
        key = (*row[:2], row[4].partition(":")[0])
        if key not in seen and row[2]:
            yield row
        seen.add(key)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
