"""The database of a feature store: its tables, their versions, connections and transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..data.errors import MissingStoreError, NewerStoreError, StoreBusyError, StoreError

FILE = "features.sqlite"
APPLICATION = 0x676D6366
"""SQLite's `application_id`: tells our files from other programs'."""
PATIENCE = 5.0
"""Seconds to wait for another writer's transaction."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE features (
    layer INTEGER, feature INTEGER,
    count INTEGER NOT NULL, contexts INTEGER NOT NULL, total REAL NOT NULL, max REAL NOT NULL,
    first_bin INTEGER NOT NULL, histogram BLOB NOT NULL,
    token_ids BLOB NOT NULL, token_counts BLOB NOT NULL, token_error INTEGER NOT NULL,
    PRIMARY KEY (layer, feature)
) WITHOUT ROWID;
CREATE TABLE shards (
    layer INTEGER, first INTEGER, last INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (layer, first)
) WITHOUT ROWID;
CREATE TABLE contexts (id INTEGER PRIMARY KEY, token_ids BLOB NOT NULL);
CREATE TABLE tokens (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE labels (
    id INTEGER PRIMARY KEY, layer INTEGER NOT NULL, feature INTEGER NOT NULL, text TEXT NOT NULL,
    author TEXT NOT NULL, source TEXT NOT NULL, score REAL, created TEXT NOT NULL
);
CREATE INDEX labels_of ON labels (layer, feature);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY, layer INTEGER NOT NULL, feature INTEGER NOT NULL, text TEXT NOT NULL,
    author TEXT NOT NULL, created TEXT NOT NULL
);
CREATE INDEX notes_of ON notes (layer, feature);
"""
_SEARCH = """
CREATE VIRTUAL TABLE labels_text USING fts5(text, content='labels', content_rowid='id', tokenize='porter');
CREATE TRIGGER labels_indexed AFTER INSERT ON labels BEGIN
    INSERT INTO labels_text (rowid, text) VALUES (new.id, new.text);
END;
INSERT INTO labels_text (labels_text) VALUES ('rebuild');
CREATE VIRTUAL TABLE notes_text USING fts5(text, content='notes', content_rowid='id', tokenize='porter');
CREATE TRIGGER notes_indexed AFTER INSERT ON notes BEGIN
    INSERT INTO notes_text (rowid, text) VALUES (new.id, new.text);
END;
INSERT INTO notes_text (notes_text) VALUES ('rebuild');
CREATE VIRTUAL TABLE contexts_text USING fts5(text, content='', tokenize='porter');
CREATE TABLE uses (
    context INTEGER, layer INTEGER, feature INTEGER, PRIMARY KEY (context, layer, feature)
) WITHOUT ROWID;
"""
_IMPORTED = """
CREATE TABLE imported (
    layer INTEGER NOT NULL, feature INTEGER NOT NULL, source TEXT NOT NULL, content BLOB NOT NULL,
    UNIQUE (layer, feature, source)
);
"""
MIGRATIONS = (_TABLES, _SEARCH, _IMPORTED)
"""Number n takes a database from version n to n + 1; an empty one has version 0."""
VERSION = len(MIGRATIONS)


def connect(folder: Path, *, create: bool = False, fixed: bool = False) -> sqlite3.Connection:
    """Open the database of a store, brought to the current version.

    Args:
        folder: the store.
        create: make an empty one where there is none.
        fixed: nobody writes to this file, and nothing may be written beside it.

    Raises:
        MissingStoreError: there is none.
        NewerStoreError: a newer version of the package wrote it.
        StoreBusyError: another process is writing.
        StoreError: it is no feature store, or damaged.
    """
    file = folder / FILE
    if not create and not file.is_file():
        remedy = "make one with gemma_circuits.features.collect, or an empty one with open(..., create=True)"
        raise MissingStoreError(str(file), expected="a feature store", got="nothing", remedy=remedy)
    folder.mkdir(parents=True, exist_ok=True)
    with explained(file):
        address = f"{file.absolute().as_uri()}?{'mode=ro&immutable=1' if fixed else 'mode=rwc'}"
        connection = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            if not fixed:
                connection.execute("PRAGMA journal_mode = WAL")
            _migrate(connection, file)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, file: Path) -> Iterator[sqlite3.Connection]:
    """All or nothing of what is written inside, whatever happens to the process.

    Raises:
        StoreBusyError: another process is writing.
    """
    with explained(file):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            remedy = "wait until the other process is done, or end it"
            raise StoreBusyError(str(file), expected="one writer", got="a second one", remedy=remedy) from error
        remedy = "restore it from a copy, or collect anew into another folder"
        raise StoreError(str(file), expected="a whole feature store", got=str(error), remedy=remedy) from error


def _migrate(connection: sqlite3.Connection, file: Path) -> None:
    version = _version(connection, file)
    if version == VERSION:
        return
    with transaction(connection, file):
        for script in MIGRATIONS[_version(connection, file) :]:  # another process may have been faster
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _version(connection: sqlite3.Connection, file: Path) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION and tables:
        raise StoreError(str(file), expected="a feature store", got="a database of another program")
    if version > VERSION:
        raise NewerStoreError(
            str(file), expected=f"version {VERSION} or lower", got=str(version), remedy="upgrade gemma-circuits"
        )
    return version


def _statements(script: str) -> Iterator[str]:
    """`executescript` would commit the transaction, so one statement at a time."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
