"""Which features tell two sets of prompts apart."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from ..attribution.progress import Progress
from ..data import display
from ..data.errors import ArgumentError
from ..interventions.places import positions
from ..models import Prompt, PromptLike, ReplacementModel
from .search import active_on_each

SHOWN = 20
RATE = 0.05
"""False discovery rate by default."""
LARGEST = 2**23
"""Numbers that one block of permutations holds at most."""


_SCALARS = ("n_a", "n_b", "at")


class LengthWarning(UserWarning):
    """Two sets of prompts whose lengths differ."""


class ResolutionWarning(UserWarning):
    """Too few prompts or permutations for one feature to stand out by itself."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Contrast:
    """How features differ between two sets of prompts; arrays `(features,)`, by `q`, then by |effect|, strongest first.

    Example:
        >>> contrast.significant(0.05)  # doctest: +SKIP
    """

    n_a: int
    """Prompts in the first set."""
    n_b: int
    at: str
    """What was compared: "max", "mean", or the position."""
    layer: np.ndarray
    feature: np.ndarray
    effect: np.ndarray
    """float64: Cliff's delta, -1 to 1: how much more often a prompt of the first set has the larger activation than
    one of the second (+1: always; ties count for neither)."""
    mean_a: np.ndarray
    """float64: mean activation over the first set."""
    mean_b: np.ndarray
    p: np.ndarray
    """float64: of the permutation test, two-sided."""
    q: np.ndarray
    """float64: the smallest false discovery rate at which the feature is reported."""

    def significant(self, rate: float = RATE) -> Contrast:
        """Those of which at most this share is expected to be false.

        Raises:
            ArgumentError: a rate outside 0 to 1.
        """
        if not 0 < rate <= 1:
            raise ArgumentError("rate", expected="above 0 and at most 1", got=str(rate))
        return self._kept(self.q <= rate)

    @property
    def places(self) -> list[tuple[int, int]]:
        """(layer, feature) of each."""
        return list(zip(self.layer.tolist(), self.feature.tolist()))

    def _kept(self, rows: np.ndarray) -> Contrast:
        return replace(self, **{name: array[rows] for name, array in vars(self).items() if name not in _SCALARS})

    def __len__(self) -> int:
        return len(self.layer)

    def __repr__(self) -> str:
        return f"{self._title()}\n" + display.text_table(*self._table())

    def _repr_html_(self) -> str:
        text = "effect: Cliff's delta; p: permutation test; q: false discovery rate (Benjamini-Hochberg)"
        return display.page(self._title(), text, {"strongest": display.html_table(*self._table())})

    def _title(self) -> str:
        return f"{len(self)} features, {self.n_a} prompts against {self.n_b} (at {self.at})"

    def _table(self) -> tuple[list[str], list[list[str] | None]]:
        names = ["layer", "feature", "effect", "mean_a", "mean_b", "p", "q"]
        columns = [getattr(self, name)[:SHOWN].tolist() for name in names]
        rows: list[list[str] | None] = [
            [str(a), str(b), f"{effect:+.2f}", *(f"{x:.3g}" for x in rest)] for a, b, effect, *rest in zip(*columns)
        ]
        return names, [*rows, *[None] * (len(self) > SHOWN)]


def contrast(
    model: ReplacementModel,
    prompts_a: Sequence[PromptLike],
    prompts_b: Sequence[PromptLike],
    *,
    at: int | Literal["max", "mean"] = "max",
    least: int | None = None,
    permutations: int = 9999,
    seed: int = 0,
    progress: bool = True,
) -> Contrast:
    """Which features tell two sets of prompts apart.

    A prompt counts once for each feature: with its largest or mean activation over the positions that dictionaries do
    not ignore, or with that at one position. The effect is Cliff's delta (Cliff 1993, Psychological Bulletin 114:494),
    which asks nothing of the distribution; p-values are of its two-sided permutation test, exact where all
    permutations are fewer than asked for; q-values are Benjamini and Hochberg's (1995, J. R. Stat. Soc. B 57:289).
    Prompts should be independent draws: ten questions about one city are one observation.

    Args:
        model: from `load`.
        prompts_a: at least 2.
        prompts_b: at least 2.
        at: "max" or "mean" over positions; or one position, such as -1 for the last. A maximum grows with length, so
            both sets must have equal lengths in tokens, one for one; for a position other lengths only warn.
        least: test only features that fire on so many of all prompts; None for half of the smaller set. This does not
            look at which set they fire in, so the test stays valid; it spares features too rare to be told apart.
        permutations: at most so many, at least 99.
        seed: of the permutations drawn.
        progress: show a bar for what takes long.

    Raises:
        ArgumentError: too few prompts or permutations, lengths that are not matched.
        PositionError: no such position in a prompt, or an ignored one.
        PromptError: a prompt that cannot be run.

    Example:
        >>> texas, california = (["The state containing Dallas is", ...], ["The state containing Fresno is", ...])
        >>> contrast(load(), texas, california).significant(0.05)  # doctest: +SKIP
    """
    both = [*prompts_a, *prompts_b]
    n_a, n_b = len(prompts_a), len(prompts_b)
    if isinstance(prompts_a, str) or isinstance(prompts_b, str) or min(n_a, n_b) < 2:
        raise ArgumentError("prompts", expected="two lists of at least 2 prompts", got=f"{n_a} and {n_b}")
    if isinstance(at, str) and at not in ("max", "mean"):
        raise ArgumentError("at", expected="'max', 'mean' or a position", got=repr(at))
    if permutations < 99:
        raise ArgumentError("permutations", expected="99 or more", got=str(permutations))
    tokenized = [model.prompt(prompt) for prompt in both]
    _check_lengths(tokenized[:n_a], tokenized[n_a:], at)
    places, values = _measure(model, both, at, Progress(progress))
    enough = (values > 0).sum(1) >= (max(1, min(n_a, n_b) // 2) if least is None else least)
    places, values = places[enough], values[enough]
    effect, p = permutation_test(values, n_a, permutations=permutations, seed=seed, progress=progress)
    q = stats.false_discovery_control(p) if len(p) else p
    _check_resolution(q, n_a, n_b, permutations)
    order = np.lexsort((-abs(effect), q))
    return Contrast(
        n_a=n_a,
        n_b=n_b,
        at=str(at),
        layer=places[order, 0],
        feature=places[order, 1],
        effect=effect[order],
        mean_a=values[order, :n_a].mean(1),
        mean_b=values[order, n_a:].mean(1),
        p=p[order],
        q=q[order],
    )


def permutation_test(
    values: np.ndarray, n_a: int, *, permutations: int = 9999, seed: int = 0, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Cliff's delta and its two-sided p-value for each row of `values` (features, prompts).

    Args:
        values: what was measured; the first `n_a` columns are the first set.
        n_a: size of the first set.
        permutations: at most so many; all of them where there are no more.
        seed: of the permutations drawn.
        progress: show a bar for what takes long.

    Returns:
        effects and p-values, (features,) float64 each.
    """
    count = values.shape[1]
    ranks = stats.rankdata(values, axis=1) if len(values) else values

    def delta(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        # Mean ranks hold all that the Mann-Whitney statistic needs, and do not change with a permutation.
        return 2 * (a.mean(axis) - b.mean(axis)) / count

    batch = 256
    found = [
        stats.permutation_test(
            (rows[:, :n_a], rows[:, n_a:]),
            delta,
            vectorized=True,
            n_resamples=permutations,
            batch=batch,
            axis=1,
            rng=np.random.default_rng(seed),
        )
        for rows in Progress(progress).steps(list(_split(ranks, LARGEST // (batch * count))), "permutations")
    ]
    if not found:
        return np.empty(0), np.empty(0)
    return np.concatenate([part.statistic for part in found]), np.concatenate([part.pvalue for part in found])


def _split(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), max(1, size)):
        yield rows[start : start + max(1, size)]


def _measure(
    model: ReplacementModel, prompts: Sequence[PromptLike], at: int | str, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """(layer, feature) of every feature that fires somewhere, (features, 2), and its value by prompt."""
    rows, columns, found = [], [], []
    for column, fired in enumerate(active_on_each(model, prompts, progress)):
        nodes, weight = fired.nodes, 1.0
        if at == "mean":
            weight = 1 / (len(fired.prompt) - fired.prompt.ignored)
        elif not isinstance(at, str):
            (position,) = positions(fired.prompt, at)
            nodes = nodes[nodes.position == position]
        rows.append(np.stack([nodes.layer, nodes.feature], 1))
        columns.append(np.full(len(nodes), column))
        found.append(nodes.activation.astype(np.float64) * weight)
    places, row = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
    values = np.zeros((len(places), len(prompts)))
    combine = np.add if at == "mean" else np.maximum
    combine.at(values, (row, np.concatenate(columns)), np.concatenate(found))
    return places, values


def _check_lengths(a: Sequence[Prompt], b: Sequence[Prompt], at: int | str) -> None:
    """Refuse or warn where lengths alone could tell the sets apart."""
    lengths_a, lengths_b = list(map(len, a)), list(map(len, b))
    if Counter(lengths_a * len(b)) == Counter(lengths_b * len(a)):
        return
    got = f"{np.mean(lengths_a):.1f} tokens on average and {np.mean(lengths_b):.1f}, distributed differently"
    if isinstance(at, str):
        raise ArgumentError(
            "prompts",
            expected="the same lengths in both sets",
            got=got,
            remedy="a longer prompt has more chances to fire: match them, or compare one position with at=-1",
        )
    warnings.warn(f"the two sets of prompts differ in length: {got}", LengthWarning, stacklevel=3)


def _check_resolution(q: np.ndarray, n_a: int, n_b: int, permutations: int) -> None:
    """Warn where nothing was found, and nothing by itself could have been."""
    count = math.comb(n_a + n_b, n_a)
    smallest = 2 / count if count <= permutations else 2 / (permutations + 1)
    if len(q) and q.min() > RATE and smallest * len(q) > RATE:
        warnings.warn(
            f"no feature stands out, and none by itself could have: the smallest p is {smallest:.2g}, and {len(q)} "
            "features were tested; more prompts or permutations help",
            ResolutionWarning,
            stacklevel=3,
        )
