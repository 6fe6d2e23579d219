"""What each command does. torch and transformers take seconds to import: only what needs them does."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data import Circuit, Graph

SUFFIXES = (".safetensors", ".json")
FIGURES = (".pdf", ".svg", ".png", ".html")
FILTERS = ("kind", "site", "width", "l0")
"""Fields of a catalogue's entries to choose by."""


def attribute(args: Namespace) -> None:
    """Trace a prompt, or say what that would take."""
    _check_folder(args.out)
    from .. import attribution, models
    from . import report

    bars = _bars(args.quiet)
    text = _text(args.prompt)
    prompt = [{"role": "user", "content": text}] if args.chat else text
    model = models.load(args.model, args.transcoder, device=args.device, dtype=args.dtype)
    asked = ("targets", "position", "max_logits", "logit_mass", "max_features", "keep", "precision", "batch_size")
    settings = {name: getattr(args, name) for name in asked}
    if args.estimate:
        estimate = attribution.estimate(model, prompt, **settings)
        return _tell(args, vars(estimate), [repr(estimate)])
    graph = attribution.attribute(model, prompt, **settings, progress=bars)
    written, told = _write(graph, args.out), report.summary(graph)
    names = f"  {graph.metadata['model']} in {graph.metadata['dtype']}, {graph.metadata['transcoder']}"
    _tell(args, told | written, [*report.heading(told), names, *report.tables(told)])


def prune(args: Namespace) -> None:
    """Prune a graph, or a circuit further."""
    _check_folder(args.out)
    from . import report

    whole = _read(args.file)
    circuit = whole.prune(args.node_threshold, args.edge_threshold)
    written, told = _write(circuit, args.out), report.summary(circuit)
    lines = [*report.heading(told), *report.left(told, report.summary(whole)), *report.tables(told)]
    _tell(args, told | written, lines)


def info(args: Namespace) -> None:
    """Describe graph files, figures and transcoder folders."""
    from . import report

    values = []
    for path in args.files:
        if path.suffix.lower() in FIGURES:
            from ..figures import read_about

            told = {"type": "figure", "file": str(path), "about": read_about(path)}
            lines = report.figure(told)
        elif path.is_file() or path.suffix in SUFFIXES:
            told = report.summary(_read(path)) | {"file": str(path), "bytes": path.stat().st_size}
            lines = [
                f"{path}: {told['bytes']:,} bytes",
                *report.heading(told),
                *report.facts(told),
                *report.tables(told),
            ]
        else:
            from ..transcoders import open_transcoder

            opened = open_transcoder(path)
            names = ("kind", "layers", "n_features", "d_in", "d_out", "reads", "writes", "model_name")
            told = {"type": "transcoder", "file": str(path)} | {name: getattr(opened, name) for name in names}
            lines = [f"{path}: {opened!r}"]
        if not args.json:
            print(*["" for _ in values[:1]], *lines, sep="\n")
        values.append(told)
    if args.json:
        print(report.as_json(values))


def convert(args: Namespace) -> None:
    """Write a transcoder in another layout."""
    from ..transcoders.convert import convert as write

    written = write(args.source, args.destination, args.layout, progress=_bars(args.quiet))
    if not args.quiet:
        print(f"written to {written}")


def catalogue(args: Namespace) -> None:
    """List released transcoders, or the models that have some."""
    from ..data.display import text_table
    from ..data.errors import ArgumentError
    from ..transcoders.catalogue import GEMMA_2, GEMMA_3
    from ..transcoders.catalogue import catalogue as released
    from .report import as_json

    if args.model is None:
        known = [*(f"gemma-3-{size}-{stage}" for size in GEMMA_3 for stage in ("pt", "it")), *GEMMA_2]
        return print(as_json(known) if args.json else "\n".join(known))
    entries = released(args.model)
    for name in FILTERS:
        if wanted := getattr(args, name):
            there = dict.fromkeys(str(getattr(entry, name)) for entry in entries)
            if wanted not in there:
                raise ArgumentError(f"--{name}", expected=f"one of {', '.join(there)}", got=repr(wanted))
            entries = entries.where(**{name: wanted})
    if args.affine is not None:
        entries = entries.where(affine=args.affine)
    if args.json:
        return print(as_json([vars(entry) for entry in entries]))
    width = max((len(entry.id) for entry in entries), default=0)
    rows = []
    for entry in entries:
        chosen = (getattr(entry, name) for name in FILTERS)
        marks = ("yes" * entry.affine, str(len(entry.layers)), "yes" * entry.recommended)
        rows.append([entry.id.ljust(width), *chosen, *marks])
    print(f"{len(rows)} transcoders of {entries.model}")
    print(text_table(["id".ljust(width), *FILTERS, "affine", "layers", "recommended"], rows))


def lab(args: Namespace) -> None:
    """Become JupyterLab."""
    options, folder = list(args.rest), Path("notebooks")
    if options and not options[0].startswith("-"):
        folder = Path(options.pop(0))
    elif not folder.is_dir():
        folder = Path()
    if not folder.is_dir():
        from ..data.errors import ArgumentError

        raise ArgumentError("lab", expected="a folder that exists", got=str(folder))
    ours = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder.resolve()}"]
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *ours, *options])


def _read(path: Path) -> Graph | Circuit:
    """The graph or circuit of a file of either format."""
    from safetensors import safe_open

    from ..data import Circuit, Graph
    from ..data.errors import GraphFileError

    try:
        with path.open("rb") as file:
            if file.read(64).lstrip().startswith(b"{"):
                return Graph.from_neuronpedia(path)
        graph = Graph.load(path)
        with safe_open(path, "pt") as file:
            return Circuit.load(path) if "kept_edges" in file.keys() else graph  # noqa: SIM118
    except OSError as error:
        raise GraphFileError(str(path), expected="a file to read", got=error.strerror or str(error)) from error


def _text(prompt: str) -> str:
    from ..data.errors import PromptError

    try:
        text = sys.stdin.read().removesuffix("\n") if prompt == "-" else prompt
        text.encode()
    except UnicodeError as error:
        raise PromptError("PROMPT", expected="text in the terminal's encoding", got=str(error)) from error
    return text


def _write(shown: Graph | Circuit, out: Path | None) -> dict[str, Any]:
    if out is None:
        return {}
    shown.to_neuronpedia(out) if out.suffix == ".json" else shown.save(out)
    return {"out": str(out)}


def _check_folder(out: Path | None) -> None:
    """Refuse before the work what would fail after it."""
    if out is not None and not out.parent.is_dir():
        from ..data.errors import StorageError

        raise StorageError(str(out), expected="a folder that exists", remedy=f"create {out.parent} first")


def _bars(quiet: bool) -> bool:
    """Whether to show progress bars: not in log files."""
    shown = not quiet and sys.stderr.isatty()
    if not shown:
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
    return shown


def _tell(args: Namespace, told: dict[str, Any], lines: Iterable[str]) -> None:
    from .report import as_json

    if args.json:
        print(as_json(told))
    elif not args.quiet:
        print(*lines, sep="\n")
        if "out" in told:
            print(f"\nwritten to {told['out']}")
