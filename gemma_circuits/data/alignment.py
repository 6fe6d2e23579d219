"""Which tokens of two prompts stand for one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def align(a: Sequence[str], b: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Pairs of positions by the fewest changes: equal tokens, one in place of another, and tokens in one prompt only.

    The last tokens always stand for one another: outputs are read there. Exchanging the prompts exchanges the pairs.

    Args:
        a: at least one token.
        b: at least one token.

    Returns:
        every position of both once, in order; None where the other prompt has no counterpart.

    Example:
        >>> align(["in", "Dallas", "is"], ["in", "San", "Jose", "is"])
        [(0, 0), (None, 1), (1, 2), (2, 3)]
    """
    if tuple(a) > tuple(b):
        return [(first, second) for second, first in align(b, a)]
    ids = {token: number for number, token in enumerate({*a, *b})}
    first, second = (np.array([ids[token] for token in tokens[:-1]], int) for tokens in (a, b))
    cost = _costs(first, second)
    i, j = len(first), len(second)
    pairs: list[tuple[int | None, int | None]] = [(i, j)]
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + (first[i - 1] != second[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


def _costs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Changes between all beginnings of the two: (len(first) + 1, len(second) + 1), Wagner and Fischer 1974."""
    steps = np.arange(len(second) + 1)
    cost = np.empty((len(first) + 1, len(second) + 1), np.int32)
    cost[0] = steps
    for i, token in enumerate(first):
        row = cost[i] + 1
        row[1:] = np.minimum(row[1:], cost[i, :-1] + (second != token))
        cost[i + 1] = np.minimum.accumulate(row - steps) + steps
    return cost
