"""The released dictionaries of Gemma models, known without a network."""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, overload

from ..data.errors import ArgumentError, UnsupportedModelError
from .gemma_scope_1 import SITES
from .protocol import Kind, Site

SHOWN = 30
"""Rows of a table before it is cut."""


@dataclass(frozen=True)
class Entry:
    """One released dictionary."""

    id: str
    """What to pass to `load` or `open_transcoder`."""
    kind: Kind
    site: Site
    """Where it reads."""
    width: str
    """Features as the release counts them: of each layer, or of all layers for a CLT or crosscoder."""
    l0: str
    """Sparsity as the release calls it, or the average L0 that opening it aims at."""
    affine: bool
    """Whether it has an affine skip."""
    layers: tuple[int, ...]
    """The model's layers that it covers."""
    recommended: bool = False
    """Whether `load` takes it when no dictionary is named."""


@dataclass(frozen=True, repr=False)
class Catalogue(Sequence[Entry]):
    """The released dictionaries of one model, the recommended one first; shown as a table.

    Example:
        >>> catalogue("gemma-3-1b-it").where(kind="clt", affine=True, width="262k", l0="medium")[0].id
        'google/gemma-scope-2-1b-it/clt/width_262k_l0_medium_affine'
    """

    model: str
    entries: tuple[Entry, ...]

    def where(self, **conditions) -> Catalogue:
        """The entries whose fields have the given values: `where(site="mlp_in", affine=True)`.

        Raises:
            ArgumentError: a name that is no field of `Entry`.
        """
        names = [field.name for field in fields(Entry)]
        if unknown := [name for name in conditions if name not in names]:
            raise ArgumentError("where", expected=f"fields among {', '.join(names)}", got=", ".join(unknown))
        return Catalogue(
            self.model,
            tuple(
                entry
                for entry in self.entries
                if all(getattr(entry, name) == value for name, value in conditions.items())
            ),
        )

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Catalogue: ...
    def __getitem__(self, index: int | slice) -> Entry | Catalogue:
        if isinstance(index, slice):
            return Catalogue(self.model, self.entries[index])
        return self.entries[index]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                entry.id,
                entry.kind,
                entry.site,
                entry.width,
                entry.l0,
                "affine" if entry.affine else "",
                _ranges(entry.layers),
                "recommended" if entry.recommended else "",
            )
            for entry in self.entries[:SHOWN]
        ]

    def _caption(self) -> str:
        more = f", {SHOWN} shown; filter with .where(...)" if len(self) > SHOWN else ""
        return f"{len(self)} dictionaries of {self.model}{more}"

    def __repr__(self) -> str:
        table = [HEADER, *self._rows()]
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table)
        return "\n".join((self._caption(), *lines))

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

        body = "".join(row(cells, "td") for cells in self._rows())
        return (
            f"<table><caption>{html.escape(self._caption())}</caption>"
            f"<thead>{row(HEADER, 'th')}</thead><tbody>{body}</tbody></table>"
        )


HEADER = ("id", "kind", "site", "width", "l0", "skip", "layers", "")


class _Scope2(NamedTuple):
    layers: int
    some: tuple[int, ...]
    """The layers of the four-layer folders and of the crosscoders."""


GEMMA_3 = {
    "270m": _Scope2(18, (5, 9, 12, 15)),
    "1b": _Scope2(26, (7, 13, 17, 22)),
    "4b": _Scope2(34, (9, 17, 22, 29)),
    "12b": _Scope2(48, (12, 24, 31, 41)),
    "27b": _Scope2(62, (16, 31, 40, 53)),
}
CLTS = ("270m", "1b")
FOLDERS: tuple[tuple[str, Kind, Site], ...] = (
    ("transcoder", "transcoder", Site.MLP_IN),
    ("resid_post", "sae", Site.RESID_POST),
    ("mlp_out", "sae", Site.MLP_OUT),
    ("attn_out", "sae", Site.ATTN_OUT),
)

_2B = {
    "2b-pt-transcoders": (("16k",), tuple(range(26))),
    **{f"2b-pt-{site}": (("16k", "65k"), tuple(range(26))) for site in ("res", "mlp", "att")},
}
_9B = {f"9b-pt-{site}": (("16k", "131k"), tuple(range(42))) for site in ("res", "mlp", "att")}
_27B = {"27b-pt-res": (("131k",), (10, 22, 34))}
GEMMA_2: dict[str, dict[str, tuple[tuple[str, ...], tuple[int, ...]]]] = {
    "gemma-2-2b": _2B,
    "gemma-2-2b-it": _2B,
    "gemma-2-9b": _9B,
    "gemma-2-9b-it": {"9b-it-res": (("16k", "131k"), (9, 20, 31)), **_9B},
    "gemma-2-27b": _27B,
    "gemma-2-27b-it": _27B,
}
"""By model: the last words of Gemma Scope 1 repositories, the widths that cover all of their layers, these layers.

Dictionaries of a pre-trained model serve its instruction-tuned one too.
"""


def catalogue(model: str) -> Catalogue:
    """The released dictionaries of a model, as `google/gemma-3-1b-it` or `gemma-3-1b-it`. No network is used.

    Raises:
        UnsupportedModelError: a model without a release that we know; the message names those with one.
    """
    name = model.rstrip("/").rpartition("/")[2]
    known = [f"gemma-3-{size}-{stage}" for size in GEMMA_3 for stage in ("pt", "it")] + [*GEMMA_2]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=2, cutoff=0.7)
        raise UnsupportedModelError(
            f"catalogue of {model}",
            expected=f"one of {', '.join(known)}",
            got=repr(name),
            remedy=f"did you mean {' or '.join(close)}?" if close else "open other dictionaries by folder or hub id",
        )
    entries = _gemma_scope_2(name) if name.startswith("gemma-3") else _gemma_scope_1(name)
    return Catalogue(name, tuple(sorted(entries, key=lambda entry: not entry.recommended)))


def recommended(model: str) -> str | None:
    """The id of the dictionary to use with a model when none is named; None where none replaces its MLPs."""
    try:
        return next((entry.id for entry in catalogue(model) if entry.recommended), None)
    except UnsupportedModelError:
        return None


def _gemma_scope_2(model: str) -> Iterator[Entry]:
    size = model.split("-")[2]
    repo, every = f"google/gemma-scope-2-{model.removeprefix('gemma-3-')}", tuple(range(GEMMA_3[size].layers))
    best = "clt/width_262k_l0_medium_affine" if size in CLTS else "transcoder_all/width_16k_l0_small_affine"

    def entries(folder: str, kind: Kind, site: Site, widths, l0s, layers, affines=(False,), stem="") -> Iterator[Entry]:
        for width in widths:
            for l0 in l0s:
                for affine in affines:
                    path = f"{folder}/{stem}width_{width}_l0_{l0}{'_affine' * affine}"
                    yield Entry(f"{repo}/{path}", kind, site, width, l0, affine, layers, path == best)

    if size in CLTS:
        yield from entries("clt", "clt", Site.MLP_IN, ("262k", "524k"), ("medium", "big"), every, (True, False))
    some = GEMMA_3[size].some
    for folder, kind, site in FOLDERS:
        affines = (True, False) if kind == "transcoder" else (False,)
        widths = ("16k", "65k", "262k", *(("1m",) if folder == "resid_post" else ()))
        yield from entries(f"{folder}_all", kind, site, ("16k", "262k"), ("small", "big"), every, affines)
        yield from entries(folder, kind, site, widths, ("small", "medium", "big"), some, affines)
    stem = f"layer_{'_'.join(map(str, some))}_"
    widths = ("65k", "262k", "524k", "1m")
    yield from entries("crosscoder", "crosscoder", Site.RESID_POST, widths, ("medium", "big"), some, stem=stem)


def _gemma_scope_1(model: str) -> Iterator[Entry]:
    for end, (widths, layers) in GEMMA_2[model].items():
        site, writes = SITES[end.rpartition("-")[2]]
        kind: Kind = "sae" if site == writes else "transcoder"
        for width in widths:
            path = f"google/gemma-scope-{end}/width_{width}"
            yield Entry(path, kind, site, width, "near 100", False, layers, kind == "transcoder")


def _ranges(layers: tuple[int, ...]) -> str:
    """`0-25`, or the numbers themselves where some are left out."""
    if len(layers) > 1 and layers == tuple(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]}-{layers[-1]}"
    return " ".join(map(str, layers))
