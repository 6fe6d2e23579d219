"""Feature JSON in circuit-tracer's layouts: one file for each feature, or one `.bin` for each layer and an index.

`index.json.gz` maps a layer to the name of its file and the offsets of its features: feature `i` lies from
`offsets[i]` to `offsets[i + 1]`, as four bytes of length (little-endian) and that many bytes of gzipped JSON. Single
files are called by Cantor's number of layer and feature. Both are read as circuit-tracer 0.5's viewer reads them
(init-feature-examples.js and util.js).
"""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..data.errors import ArgumentError, FeatureError, FeatureFileError, StorageError
from ..data.neuronpedia import pair, unpair
from .dashboards import Dashboard

INDEX = "index.json.gz"
BAD = (ArithmeticError, AttributeError, EOFError, LookupError, RecursionError, TypeError, ValueError, zlib.error)
"""What reading malformed files of JSON raises."""


class FeatureFolder(Mapping[tuple[int, int], Dashboard]):
    """The features in a folder, each read when it is asked for.

    Args:
        path: the folder, or the one above its `features`.

    Raises:
        FileNotFoundError: no such folder.
        FeatureFileError: no index and no files of features in it, or an unreadable index.

    Example:
        >>> FeatureFolder("clt")[3, 120].top_logits[0]  # doctest: +SKIP
        ' Texas'
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        path = Path(path)
        self.path = path / "features" if (path / "features").is_dir() else path
        if not self.path.is_dir():
            raise FileNotFoundError(f"no folder {self.path}")
        self._offsets: dict[int, tuple[str, list[int]]] | None = None
        if (self.path / INDEX).is_file():
            self._offsets = reading(self.path / INDEX, self._index)
        else:
            names = (file.stem for file in self.path.glob("*.json") if file.stem.isdecimal())
            self._places = sorted(unpair(int(name)) for name in names)
            if not self._places:
                raise FeatureFileError(str(self.path), expected=f"{INDEX}, or files like 1234.json", got="neither")

    def __getitem__(self, place: tuple[int, int]) -> Dashboard:
        """Read one feature.

        Raises:
            FeatureError: it is not there.
            FeatureFileError: it cannot be read; the others can.
        """
        if place not in self:
            raise FeatureError(f"{self.path}", expected="a feature that it has", got=repr(place))
        if self._offsets is None:
            file = self.path / f"{pair(*place)}.json"
            return reading(file, lambda: Dashboard.from_json(parse(file.read_bytes()), *place))
        name, offsets = self._offsets[place[0]]
        file, start, end = self.path / name, offsets[place[1]], offsets[place[1] + 1]

        def read() -> Dashboard:
            with file.open("rb") as opened:
                opened.seek(start)
                chunk = opened.read(end - start)
            length = int.from_bytes(chunk[:4], "little")
            return Dashboard.from_json(parse(inflate(chunk[4 : 4 + length])), *place)

        return reading(file, read, f", feature {place[0]}/{place[1]}")

    def __contains__(self, place: object) -> bool:
        match place:
            case (int(layer), int(feature)):
                if self._offsets is None:
                    return layer >= 0 <= feature and (self.path / f"{pair(layer, feature)}.json").is_file()
                offsets = self._offsets.get(layer, ("", []))[1]
                return 0 <= feature < len(offsets) - 1 and offsets[feature] < offsets[feature + 1]
        return False

    def __iter__(self) -> Iterator[tuple[int, int]]:
        if self._offsets is None:
            return iter(self._places)
        return (
            (layer, feature)
            for layer, (_, offsets) in sorted(self._offsets.items())
            for feature in range(len(offsets) - 1)
            if offsets[feature] < offsets[feature + 1]
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _index(self) -> dict[int, tuple[str, list[int]]]:
        value = parse(inflate((self.path / INDEX).read_bytes()))
        found = {}
        for layer, entry in value.items() if isinstance(value, Mapping) else enumerate(value):
            if not entry:
                continue
            name, offsets = str(entry["filename"]), [int(offset) for offset in entry["offsets"]]
            if Path(name).name != name or offsets != sorted(offsets) or (offsets and offsets[0] < 0):
                raise ValueError(f"layer {layer}: file {name!r} or its offsets")
            found[int(layer)] = name, offsets
        return found


def write_folder(path: str | PathLike[str], dashboards: Iterable[Dashboard], *, packed: bool = True) -> Path:
    """Write features in circuit-tracer's layout.

    Args:
        path: the folder to make.
        dashboards: by layer, then feature, ascending.
        packed: one file for each layer and an index, else one for each feature.

    Raises:
        ArgumentError: there is something at `path`, or features out of order.
        StorageError: it could not be written; nothing is left at `path`.
    """
    return new_folder(path, lambda folder: (_write_packed if packed else _write_single)(folder, dashboards))


def new_folder(path: str | PathLike[str], write: Any) -> Path:
    """Let `write` fill a folder that appears at `path` only when it is complete."""
    path = Path(path)
    if path.exists():
        raise ArgumentError(str(path), expected="a folder that does not exist yet", remedy="name another, or delete it")
    if not path.parent.is_dir():
        raise StorageError(str(path), expected="a folder that exists", remedy=f"create {path.parent} first")
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        temporary.mkdir()
        write(temporary)
        temporary.rename(path)
    except OSError as error:
        raise StorageError(str(path), expected="a folder that can be written", got=str(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def _write_packed(folder: Path, dashboards: Iterable[Dashboard]) -> None:
    index = {}
    for layer, features in groupby(dashboards, key=lambda dashboard: dashboard.layer):
        name, offsets = f"layer_{layer}.bin", [0]
        if index and layer <= max(map(int, index)):
            raise ArgumentError("dashboards", expected="layers ascending", got=f"layer {layer} again")
        with (folder / name).open("wb") as file:
            for dashboard in features:
                if dashboard.feature < len(offsets) - 1:
                    raise ArgumentError("dashboards", expected="features ascending", got=f"feature {dashboard.feature}")
                offsets += [offsets[-1]] * (dashboard.feature - len(offsets) + 1)
                content = gzip.compress(dump(dashboard.to_json()), mtime=0)
                file.write(len(content).to_bytes(4, "little") + content)
                offsets.append(file.tell())
        index[str(layer)] = {"filename": name, "offsets": offsets}
    (folder / INDEX).write_bytes(gzip.compress(dump(index), mtime=0))


def _write_single(folder: Path, dashboards: Iterable[Dashboard]) -> None:
    for dashboard in dashboards:
        (folder / f"{pair(dashboard.layer, dashboard.feature)}.json").write_bytes(dump(dashboard.to_json()))


def reading(file: Path, read: Any, part: str = "") -> Any:
    """What `read` returns, or an error of ours."""
    try:
        return read()
    except (OSError, *BAD) as error:
        got = f"{type(error).__name__}: {error}"
        raise FeatureFileError(f"{file}{part}", expected="features as JSON", got=got) from error


def parse(text: bytes) -> Any:
    """JSON; NaN and infinity, which it does not know but Python writes, are null."""
    return json.loads(text, parse_constant=lambda _: None)


def dump(value: Any) -> bytes:
    """JSON."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def inflate(content: bytes) -> bytes:
    """Decompress gzip or zlib, whichever it is, as the viewer does."""
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else zlib.decompress(content)
