"""Features in Neuronpedia's exports: gzipped JSON lines in batches of 1,024 features.

`{layer}-{source set}/` holds `features` (figures and logits), `activations` (a line for each example) and
`explanations` (labels), each with `batch-0.jsonl.gz` and so on. The fields are those that Neuronpedia's own exporter
selects (utils/neuronpedia-utils/neuronpedia_utils/export-data.py); it is not said there that a number stands for the
same features in all three folders, so that this is not relied on.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..data.errors import FeatureFileError
from .dashboards import Dashboard, Explanation, Passage, PassageGroup, number, numbers, passage, texts
from .feature_folders import dump, inflate, new_folder, parse, reading

KINDS = ("features", "activations", "explanations")
BATCH = 1024
"""Features in one file."""
TOP = "Top activations"
T = TypeVar("T")


def read_batches(path: str | PathLike[str]) -> Iterator[Dashboard]:
    """The features of one source, or of every source in a folder, as they come.

    Figures and labels of a source are held in memory, examples of one file at a time.

    Args:
        path: the folder of a source, such as `20-gemmascope-res-16k`, or the one above it.

    Raises:
        FileNotFoundError: no such folder.
        FeatureFileError: no batches in it, or a file that cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"no folder {path}")
    sources = [path, *sorted(path.iterdir())]
    sources = [source for source in sources if any(_files(source, kind) for kind in KINDS)]
    if not sources:
        raise FeatureFileError(str(path), expected="features/batch-*.jsonl.gz", got="none")
    for source in sources:
        yield from _read_source(source)


def write_batches(path: str | PathLike[str], dashboards: Iterable[Dashboard], *, model: str, source_set: str) -> Path:
    """Write features as Neuronpedia's exports have them, one folder for each layer.

    Args:
        path: the folder to make; layer 3 goes to `3-{source_set}` in it.
        dashboards: by layer.
        model: Neuronpedia's id of the model, such as "gemma-3-1b-it".
        source_set: its name of the dictionary, such as "clt-262k".

    Raises:
        ArgumentError: there is something at `path`.
        StorageError: it could not be written; nothing is left at `path`.
    """

    def write(folder: Path) -> None:
        for layer, features in groupby(dashboards, key=lambda dashboard: dashboard.layer):
            keys = {"modelId": model, "layer": f"{layer}-{source_set}"}
            batch: list[Dashboard] = []
            count = 0
            for dashboard in features:
                batch.append(dashboard)
                if len(batch) == BATCH:
                    _write_batch(folder / keys["layer"], count, batch, keys, source_set)
                    batch, count = [], count + 1
            if batch:
                _write_batch(folder / keys["layer"], count, batch, keys, source_set)

    return new_folder(path, write)


def _read_source(source: Path) -> Iterator[Dashboard]:
    figures = {place: found for file in _files(source, "features") for place, found in _read(file, from_row)}
    for file in _files(source, "explanations"):
        for place, said in _read(file, _explanation):
            known = figures.get(place) or Dashboard(layer=place[0], feature=place[1])
            figures[place] = replace(known, explanations=(*known.explanations, said))
    done: set[tuple[int, int]] = set()
    for file in _files(source, "activations"):
        passages: dict[tuple[int, int], list[_Drawn]] = defaultdict(list)
        for place, drawn in _read(file, _drawn):
            passages[place].append(drawn)
        if twice := done & passages.keys():
            got = f"feature {min(twice)} in two"
            raise FeatureFileError(str(file), expected="a feature's activations in one file", got=got)
        done |= passages.keys()
        for place, those in passages.items():
            known = figures.pop(place, None) or Dashboard(layer=place[0], feature=place[1])
            yield replace(known, groups=_groups(those))
    yield from figures.values()


class _Drawn(NamedTuple):
    low: float
    """Of the interval of activations that the passage was drawn from; both are not above 0 for the strongest."""
    high: float
    passage: Passage


def _drawn(row: Mapping[str, Any], layer: int, feature: int) -> _Drawn:
    found = passage(row["tokens"], row["values"], row.get("maxValueTokenIndex"))
    return _Drawn(number(row.get("binMin")), number(row.get("binMax")), found)


def _explanation(row: Mapping[str, Any], layer: int, feature: int) -> Explanation:
    author = row.get("explanationModelName") or row.get("authorId") or "unknown"
    return Explanation(*texts([row["description"], author, row.get("typeName") or ""]))


def from_row(row: Mapping[str, Any], layer: int, feature: int) -> Dashboard:
    """A feature from a line of `features`; Neuronpedia's API answers one too, explanations and activations in it.

    Raises:
        TypeError, ValueError, LookupError, AttributeError: it is something else.
    """
    heights, middles = numbers(row.get("freq_hist_data_bar_heights")), numbers(row.get("freq_hist_data_bar_values"))
    low, high = 0.0, number(row.get("maxActApprox"))
    if even := len(heights) == len(middles) > 1:
        half = (middles[-1] - middles[0]) / (len(middles) - 1) / 2
        low, high = middles[0] - half, middles[-1] + half
    return Dashboard(
        layer=layer,
        feature=feature,
        transcoder=str(row.get("sourceSetName") or ""),
        top_logits=texts(row.get("pos_str")),
        top_values=numbers(row.get("pos_values")),
        bottom_logits=texts(row.get("neg_str")),
        bottom_values=numbers(row.get("neg_values")),
        act_min=low,
        act_max=high,
        histogram=heights if even else (),
        frequency=number(row.get("frac_nonzero")),
        groups=_groups([_drawn(drawn, layer, feature) for drawn in row.get("activations") or []]),
        explanations=tuple(_explanation(said, layer, feature) for said in row.get("explanations") or []),
    )


def _groups(rows: list[_Drawn]) -> tuple[PassageGroup, ...]:
    """The strongest first, then the intervals of activations that examples were drawn from, from above."""
    groups: dict[tuple[float, float], list[Passage]] = defaultdict(list)
    for low, high, found in rows:
        groups[(low, high) if high > 0 else (0.0, 0.0)].append(found)
    chosen = sorted(groups, key=lambda bounds: (bounds[1] > 0, -bounds[1]))
    return tuple(
        PassageGroup(
            TOP if high <= 0 else f"Activations {low:.3g} to {high:.3g}",
            tuple(sorted(groups[low, high], key=lambda found: -found.activations[found.peak])),
        )
        for low, high in chosen
    )


def _write_batch(folder: Path, batch: int, dashboards: list[Dashboard], keys: dict[str, str], source_set: str) -> None:
    rows: dict[str, list[dict[str, Any]]] = {"features": [], "activations": [], "explanations": []}
    for dashboard in dashboards:
        mine = keys | {"index": str(dashboard.feature)}
        name = "-".join(mine.values())
        width = (dashboard.act_max - dashboard.act_min) / max(1, len(dashboard.histogram))
        rows["features"].append(
            mine
            | {
                "sourceSetName": source_set,
                "maxActApprox": dashboard.act_max,
                "frac_nonzero": dashboard.frequency,
                "freq_hist_data_bar_heights": list(dashboard.histogram),
                "freq_hist_data_bar_values": [
                    dashboard.act_min + (i + 0.5) * width for i in range(len(dashboard.histogram))
                ],
                "pos_str": list(dashboard.top_logits),
                "pos_values": list(dashboard.top_values),
                "neg_str": list(dashboard.bottom_logits),
                "neg_values": list(dashboard.bottom_values),
            }
        )
        rows["activations"] += [
            mine | {"id": f"{name}-{i}-{j}"} | _activation(found, group)
            for i, group in enumerate(dashboard.groups)
            for j, found in enumerate(group.passages)
        ]
        rows["explanations"] += [
            mine
            | {"id": f"{name}-{i}", "description": said.text}
            | {"explanationModelName": said.author, "typeName": said.method}
            for i, said in enumerate(dashboard.explanations)
        ]
    for kind, lines in rows.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        content = gzip.compress(b"".join(dump(line) + b"\n" for line in lines), mtime=0)
        (folder / kind / f"batch-{batch}.jsonl.gz").write_bytes(content)


def _activation(found: Passage, group: PassageGroup) -> dict[str, Any]:
    peaks = [other.activations[other.peak] for other in group.passages]
    low, high = (-1.0, -1.0) if group.name == TOP else (min(peaks), max(peaks))
    return {
        "tokens": list(found.tokens),
        "values": list(found.activations),
        "maxValue": max(found.activations),
        "minValue": min(found.activations),
        "maxValueTokenIndex": found.peak,
        "binMin": low,
        "binMax": high,
        "binContains": -1.0,
    }


def _files(source: Path, kind: str) -> list[Path]:
    return sorted((source / kind).glob("batch-*.jsonl.gz"))


def _read(file: Path, make: Callable[[dict[str, Any], int, int], T]) -> list[tuple[tuple[int, int], T]]:
    """What `make` makes of each line of a file, with its layer and feature."""

    def read() -> list[tuple[tuple[int, int], T]]:
        rows = [parse(line) for line in inflate(file.read_bytes()).splitlines() if line.strip()]
        places = [(int(row["layer"].partition("-")[0]), int(row["index"])) for row in rows]
        return [(place, make(row, *place)) for place, row in zip(places, rows)]

    return reading(file, read)
