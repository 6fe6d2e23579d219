"""Records as JSON values and back, as their fields are declared."""

from __future__ import annotations

import math
from typing import Any, get_args, get_origin, get_type_hints


def plain(value: Any) -> Any:
    """Tuples as lists, or by the names of their fields; NaN as None."""
    fields = getattr(value, "_fields", None)
    if fields:
        return {name: plain(part) for name, part in zip(fields, value)}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def typed(kind: Any, value: Any) -> Any:
    """What `plain` made of a value of this kind, as it was.

    Raises:
        KeyError, TypeError, ValueError: it is none of this kind.
    """
    if hasattr(kind, "_fields"):
        hints = get_type_hints(kind)
        return kind(**{name: typed(hints[name], value[name]) for name in kind._fields})
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        kinds = [first] * len(value) if others[-1:] == [...] else [first, *others]
        return tuple(typed(each, part) for each, part in zip(kinds, value, strict=True))
    if kind is float:
        return float("nan") if value is None else float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {getattr(kind, '__name__', kind)}")
    return value
