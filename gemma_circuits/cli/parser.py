"""The commands, their options, and what `--help` says of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import __version__
from . import commands
from .told import Told, told

ABOUT = """Attribution graphs of Gemma models: which features, wired how, produced an output.

A first session, with the model that ships inside the package:

  gemma-circuits attribute "The capital of the state containing Dallas is" --out dallas.safetensors
  gemma-circuits prune dallas.safetensors --out dallas.json
  gemma-circuits info dallas.safetensors dallas.json
  gemma-circuits lab
"""
EXITS = """exit codes:
  0    done
  1    an error inside gemma-circuits, shown with its traceback
  2    wrong usage
  3    bad input; one line says what was expected, what was found and what to do
  4    the result could not be written; what stood there before is untouched
  130  interrupted (Ctrl-C)
  141  the reader of the output went away, as `head` does

gemma-circuits COMMAND --help tells more of each command.
"""
ATTRIBUTE = """examples:
  gemma-circuits attribute "The capital of the state containing Dallas is" --target " Austin"
  gemma-circuits attribute "Name a city in Texas." --chat --model google/gemma-3-1b-it --estimate
  gemma-circuits attribute - --max-features all --out graph.safetensors < prompt.txt
"""
PRUNE = """example:
  gemma-circuits prune graph.safetensors --node-threshold 0.6 --out circuit.json
"""
INFO = """A pickle is refused unopened: opening it could run any program.
"""
CONVERT = """example:
  gemma-circuits convert google/gemma-scope-2-270m-pt/clt/width_262k_l0_medium clt --layout circuit-tracer
"""
CATALOGUE = """example:
  gemma-circuits catalogue gemma-3-1b-it --kind clt --affine
"""
LAB = """FOLDER is notebooks where there is one, else the current folder. Options go to JupyterLab as they are:
  gemma-circuits lab notebooks --port 9000 --no-browser
"""
LAB_USAGE = "gemma-circuits lab [-h] [FOLDER] [JUPYTERLAB OPTION ...]"


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `run` among what it finds is the function to call."""

    def style(prog: str, width: int | None = None) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=width)

    parser = argparse.ArgumentParser("gemma-circuits", description=ABOUT, epilog=EXITS, formatter_class=style)
    parser.add_argument("--version", action="version", version=f"gemma-circuits {__version__}")
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(run: Callable[..., None], text: str, epilog: str, **settings: Any) -> argparse.ArgumentParser:
        settings |= {"help": text, "description": f"{text.capitalize()}.", "epilog": epilog, "formatter_class": style}
        made = group.add_parser(run.__name__, **settings)
        made.set_defaults(run=run)
        return made

    _attribute(command(commands.attribute, "trace a prompt and report its graph", ATTRIBUTE))
    _prune(command(commands.prune, "keep the nodes and edges that carry most of the influence", PRUNE))
    _info(command(commands.info, "say what a graph file, a figure or a transcoder folder holds", INFO))
    _convert(command(commands.convert, "write a transcoder in another layout", CONVERT))
    _catalogue(command(commands.catalogue, "list the released transcoders of a model, or the models", CATALOGUE))
    command(commands.lab, "start JupyterLab on 127.0.0.1", LAB, usage=LAB_USAGE, allow_abbrev=False)
    return parser


def _attribute(made: argparse.ArgumentParser) -> None:
    loading, tracing = told("models", "load"), told("attribution", "attribute")
    made.add_argument("prompt", metavar="PROMPT", help="text (<bos> is put before it); - reads standard input")
    made.add_argument("--chat", action="store_true", help="PROMPT is a user's turn: apply the chat template")
    _option(made, "model", loading, metavar="ID")
    text = "a hub id with the folder behind it, or a local folder; without it, the one recommended for the model"
    _option(made, "transcoder", loading, metavar="ID", help=f"{text} (see gemma-circuits catalogue)")
    _option(made, "device", loading, metavar="NAME")
    _option(made, "dtype", loading, metavar="NAME")
    text = 'a token as written (" Austin", not "Austin") or id:123; may be repeated; without it, the fewest top'
    text += " tokens whose probability reaches --logit-mass, at most --max-logits"
    made.add_argument(
        "--target", dest="targets", action="append", type=target, metavar="TOKEN",
        default=tracing["targets"].default, help=text,
    )  # fmt: skip
    _option(made, "position", tracing)
    for name, text in (
        ("max_logits", "without --target, trace at most so many tokens"),
        ("logit_mass", "without --target, trace tokens until their probability reaches this"),
    ):
        _option(made, name, tracing, help=f"{text}: {tracing[name].text}")
    text = tracing["max_features"].text.replace("without it,", '"all" for')
    _option(made, "max_features", tracing, type=number_or_all, help=text)
    text = "share of each row of edges that is stored, the smallest left out; without it, all but for long prompts"
    _option(made, "keep", tracing, type=float, help=text)
    _option(made, "precision", tracing, metavar="NAME")
    text = tracing["batch_size"].text.replace("to choose", "chosen")
    _option(made, "batch_size", tracing, type=int, help=text)
    made.add_argument("--estimate", action="store_true", help="only say what time and memory it will take")
    _output(made)


def _prune(made: argparse.ArgumentParser) -> None:
    made.add_argument("file", metavar="FILE", type=Path, help="a graph; or a circuit, to be pruned further")
    pruning = told("data", "Graph.prune")
    for name in ("node_threshold", "edge_threshold"):
        _option(made, name, pruning, metavar="SHARE")
    _output(made)


def _info(made: argparse.ArgumentParser) -> None:
    text = (
        "a graph or circuit (.safetensors), a graph as Neuronpedia's JSON, a folder with a transcoder, or a figure "
        "written by this package (.pdf, .svg, .png, .html): what made it"
    )
    made.add_argument("files", metavar="FILE", nargs="+", type=Path, help=text)
    made.add_argument("--json", action="store_true", help="print a JSON list, one value for each FILE")


def _convert(made: argparse.ArgumentParser) -> None:
    converting = told("transcoders", "convert")
    made.add_argument("source", metavar="SOURCE", help="a folder, or a hub id with the folder behind it")
    made.add_argument("destination", metavar="DESTINATION", type=Path, help=converting["destination"].text)
    made.add_argument("--layout", required=True, metavar="NAME", help=converting["layout"].text)
    made.add_argument("--quiet", action="store_true", help="no progress bar and no report")


def _catalogue(made: argparse.ArgumentParser) -> None:
    made.add_argument("model", metavar="MODEL", nargs="?", help="as google/gemma-3-1b-it or gemma-3-1b-it")
    for name in commands.FILTERS:
        made.add_argument(f"--{name}", metavar="VALUE", help=f"only those of this {name}")
    text = "only those with an affine skip, or only those without"
    made.add_argument("--affine", action=argparse.BooleanOptionalAction, help=text)
    made.add_argument("--json", action="store_true", help="print a JSON list")


def _output(made: argparse.ArgumentParser) -> None:
    text = "write the result: NAME.safetensors holds all of it, NAME.json is Neuronpedia's JSON"
    made.add_argument("--out", type=out, metavar="FILE", help=text)
    made.add_argument("--json", action="store_true", help="print the report as JSON")
    made.add_argument("--quiet", action="store_true", help="no progress bar; no report unless --json asks for it")


def _option(made: argparse.ArgumentParser, name: str, from_python: dict[str, Told], **settings: Any) -> None:
    """An option for a Python argument: same name, same default, same text."""
    default, text = from_python[name]
    settings = {"metavar": "N", "default": default, "help": text} | settings
    if default is not None:
        settings["help"] += f" (default: {default})"
        settings.setdefault("type", type(default))
    made.add_argument(f"--{name.replace('_', '-')}", **settings)


def target(text: str) -> str | int:
    """A token as text, or its number after `id:`."""
    number = re.fullmatch(r"id:(\d+)", text)
    return int(number[1]) if number else text


def number_or_all(text: str) -> int | None:
    """None for all."""
    if text != "all" and not re.fullmatch(r"-?\d+", text):
        raise argparse.ArgumentTypeError(f"expected a number or all, got {text!r}")
    return None if text == "all" else int(text)


def out(text: str) -> Path:
    """A name whose ending tells the format."""
    path = Path(text)
    if path.suffix not in commands.SUFFIXES:
        endings = " or ".join(commands.SUFFIXES)
        raise argparse.ArgumentTypeError(f"expected a name ending in {endings}, got {text!r}")
    return path
