"""Text in figures: tokens as they are read, how wide they are, where labels find room."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

import numpy as np

LINE = 1.25
"""Height of a line, in sizes of its text."""
_AROUND = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 0.7), (-1, 0.7), (1, -0.7), (-1, -0.7)]
SIDES, STEPS = np.tile(_AROUND, (3, 1)), np.repeat([[0.0], [1.0], [2.0]], len(_AROUND), axis=0)
"""Where a label is tried: the side of its anchor, and how much further away, in sizes of its text."""


def readable(text: str, most: int = 24) -> str:
    """A token in one line: blank ones in quotes, control characters escaped, cut in its middle to `most` characters."""
    text = text.strip() or repr(text)
    text = text if text.isprintable() else repr(text)[1:-1]
    head = most // 2
    return text if len(text) <= most else f"{text[:head]}…{text[len(text) - (most - head - 1) :]}"


def apart(texts: Sequence[str], most: int = 24) -> list[str]:
    """The texts for Plotly, readable; those that would look alike in quotes, so that a leading space shows."""
    found = [readable(text, most) for text in texts]
    return [markup(name if found.count(name) == 1 else readable(repr(text), most)) for name, text in zip(found, texts)]


def markup(text: str) -> str:
    """The text for Plotly, which reads tags."""
    return escape(text, quote=False)


def text_width(text: str, size: float) -> float:
    """About how wide a text is, set in Arial of this size, in its unit; rather too much than too little."""
    return size * sum(map(_em, text))


def place_labels(
    anchors: np.ndarray, gaps: np.ndarray, texts: Sequence[str], size: float, avoid: np.ndarray, bounds: np.ndarray
) -> list[np.ndarray | None]:
    """Find every label a place beside its anchor where it covers no other, the first labels first.

    Args:
        anchors: (labels, 2): what is labelled, in pixels, y upwards.
        gaps: (labels,): how far from there a label starts.
        texts: the labels.
        size: of the text, in pixels.
        avoid: (boxes, 4) left, bottom, right, top: what a label covers only if it must.
        bounds: (4,) likewise: what it may not leave.

    Returns:
        left, bottom, right and top of each, right of its anchor or else left, above, below; None where no room is.
    """
    placed = np.c_[anchors - gaps[:, None], anchors + gaps[:, None]]
    out: list[np.ndarray | None] = []
    for anchor, gap, text in zip(anchors, gaps, texts):
        size_of = np.array([text_width(text, size), LINE * size])
        low = anchor + SIDES * (gap + STEPS * size) + (SIDES - 1) / 2 * size_of
        boxes = np.c_[low, low + size_of]
        cost = _covered(boxes, avoid) / size_of.prod() + STEPS[:, 0] / 4
        cost[_covered(boxes, placed) > 0] = np.inf
        cost[(low < bounds[:2]).any(1) | (boxes[:, 2:] > bounds[2:]).any(1)] = np.inf
        best = cost.argmin()
        out.append(boxes[best] if np.isfinite(cost[best]) else None)
        placed = np.vstack([placed, boxes[best : best + 1]]) if out[-1] is not None else placed
    return out


def _covered(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(boxes,): the area that each has in common with the others, summed."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0, None).prod(2).sum(1)


def _em(character: str) -> float:
    """Width of a character in sizes of the text."""
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    return 0.9 if character in "mwMW@%" else 0.32 if character in "iljtf.,:;'|!I ()[]" else 0.6
