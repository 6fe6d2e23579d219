"""Defaults and texts of a Python function's arguments, read from its source: importing it would load torch."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).parent.parent
REQUIRED = object()
"""The default of an argument that has none."""


class Told(NamedTuple):
    """What the source tells of one argument."""

    default: Any
    text: str
    """From the docstring, in words that fit a command line; empty where it says nothing."""


def told(package: str, name: str) -> dict[str, Told]:
    """All arguments of a function.

    Args:
        package: a folder of this package whose `__init__` imports the function.
        name: the function, or `Class.method`.
    """
    home = next(
        item.module.rpartition(".")[2]
        for item in _parse(package, "__init__").body
        if isinstance(item, ast.ImportFrom) and item.module
        if any(alias.name == name.partition(".")[0] for alias in item.names)
    )
    node: Any = _parse(package, home)
    for part in name.split("."):
        node = next(item for item in node.body if getattr(item, "name", None) == part)
    spec: ast.arguments = node.args
    ordered = [*spec.posonlyargs, *spec.args]
    values = [*[None] * (len(ordered) - len(spec.defaults)), *spec.defaults, *spec.kw_defaults]
    texts = _texts(ast.get_docstring(node) or "")
    return {
        arg.arg: Told(ast.literal_eval(value) if value else REQUIRED, texts.get(arg.arg, ""))
        for arg, value in zip([*ordered, *spec.kwonlyargs], values)
    }


def _parse(package: str, module: str) -> ast.Module:
    return ast.parse((PACKAGE / package / f"{module}.py").read_text("utf-8"))


def _texts(docstring: str) -> dict[str, str]:
    section = re.search(r"^Args:\n((?: .*\n?)+)", docstring, re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: _in_words_of_options(" ".join(text.split())) for name, text in entries}


def _in_words_of_options(text: str) -> str:
    text = re.sub(r"`([a-z_]+)`", lambda name: "--" + name[1].replace("_", "-"), text)
    text = re.sub(r"\bNone (?:for )?", "without it, ", text)
    return text.replace("`", "").replace("%", "%%").rstrip(".")
