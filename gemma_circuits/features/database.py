"""One connection to a store's database, for all threads of a process."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from . import schema


class Database:
    """The database in a store's folder. Threads may share one.

    Args:
        path: the folder.
        create: make an empty one where there is none.
        copy: where to copy the folder before the first write, which then goes there; None to write in place.

    Raises:
        MissingStoreError, NewerStoreError, StoreBusyError, StoreError: see `schema.connect`.
    """

    def __init__(self, path: Path, *, create: bool = False, copy: Path | None = None) -> None:
        self.path, self._copy = path, copy
        self._lock = threading.RLock()
        self._connection = schema.connect(path, create=create, fixed=copy is not None)

    @property
    def file(self) -> Path:
        """The database."""
        return self.path / schema.FILE

    def rows(self, query: str, arguments: Iterable[Any] = ()) -> list[tuple]:
        """What a query finds.

        Raises:
            StoreError: the file is damaged.
        """
        with self._lock, schema.explained(self.file):
            return self._connection.execute(query, tuple(arguments)).fetchall()

    def row(self, query: str, arguments: Iterable[Any] = ()) -> Any:
        """The first row that a query finds; None where there is none."""
        return next(iter(self.rows(query, arguments)), None)

    def texts(self, token_ids: Iterable[int]) -> dict[int, str]:
        """Text of tokens that occur in the store."""
        ids = set(token_ids)
        return dict(self.rows(f"SELECT id, text FROM tokens WHERE id IN ({', '.join('?' * len(ids))})", ids))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all queries inside see one state, whatever another process commits."""
        with self._lock, schema.explained(self.file):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction, all or nothing.

        Raises:
            StoreBusyError: another process is writing.
        """
        with self._lock:
            if self._copy is not None:
                self._move(self._copy)
            with schema.transaction(self._connection, self.file) as connection:
                yield connection

    def close(self) -> None:
        """Let go of the file; nothing else can be asked of it then."""
        with self._lock:
            self._connection.close()

    def _move(self, copy: Path) -> None:
        """Go on in a copy that may be written to."""
        if not (copy / schema.FILE).is_file():
            temporary = copy.with_name(f".{copy.name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(self.path, temporary)
            temporary.rename(copy)
        connection = schema.connect(copy)
        self._connection.close()
        self.path, self._copy, self._connection = copy, None, connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
