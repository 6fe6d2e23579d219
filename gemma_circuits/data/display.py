"""How graphs, circuits and node tables show themselves: text, HTML, and the door to the floors that draw."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib import import_module
from types import ModuleType
from typing import Any


def above(floor: str) -> ModuleType:
    """A floor above this one, through the package's own door: what draws a value when it is asked to show itself."""
    return import_module(f"{__name__.partition('.')[0]}.{floor}")


def draw(shown: Any, **options: Any) -> Any:
    """The Plotly figure of a value; see `figures.draw`."""
    return above("figures").draw(shown, **options)


Renderer = Callable[[Any], "dict[str, Any] | None"]
_renderer: Renderer | None = None


def register(renderer: Renderer | None) -> None:
    """Let `renderer` display graphs and circuits from now on; None takes it away.

    It gets the `Graph` or `Circuit` and returns a MIME bundle to lay over the plain one, or None to leave
    that one alone.
    """
    global _renderer
    _renderer = renderer


def mimebundle(shown: Any) -> dict[str, Any]:
    """Text and HTML of `shown`, and what the registered renderer adds: in a Jupyter kernel, the widgets' floor."""
    if _renderer is None and _in_kernel():
        above("ui")
    rich = _renderer(shown) if _renderer else None
    return {"text/plain": repr(shown), "text/html": shown._repr_html_(), **(rich or {})}


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def shorten(text: str, width: int = 60) -> str:
    """`repr` of a text, cut to about `width` characters; control characters come out escaped."""
    return repr(text) if len(text) <= width else repr(text[: width - 1])[:-1] + "…" + repr(text)[-1]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str] | None]) -> str:
    """Columns padded to their widest cell; a row that is None shows as `...`."""
    cells = [header, *(row or ["..."] * len(header) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


def html_table(header: Sequence[str], rows: Iterable[Sequence[str] | None]) -> str:
    """An HTML table of escaped cells."""
    cell = "padding:2px 8px;text-align:right;border-bottom:1px solid var(--jp-border-color2,#8884)"

    def line(tag: str, cells: Iterable[str]) -> str:
        return "<tr>" + "".join(f'<{tag} style="{cell}">{escape(c)}</{tag}>' for c in cells) + "</tr>"

    body = "".join(line("td", ["…"] * len(header) if row is None else row) for row in rows)
    return (
        '<table style="border-collapse:collapse;color:var(--jp-ui-font-color1,inherit);'
        'font-variant-numeric:tabular-nums">'
        f"<thead>{line('th', header)}</thead><tbody>{body}</tbody></table>"
    )


def page(title: str, text: str, sections: dict[str, str]) -> str:
    """A title, a line of text and titled sections; their bodies are HTML already, all else is escaped."""
    block = "display:inline-block;vertical-align:top;margin:4px 24px 4px 0"
    muted = "color:var(--jp-ui-font-color2,inherit)"
    bodies = "".join(
        f'<div style="{block}"><div style="{muted}">{escape(name)}</div>{body}</div>' for name, body in sections.items()
    )
    return (
        '<div style="color:var(--jp-ui-font-color1,inherit)">'
        f"<div><b>{escape(title)}</b></div>"
        + (f'<div style="{muted}">{escape(shorten(text, 200))}</div>' if text else "")
        + f"{bodies}</div>"
    )
