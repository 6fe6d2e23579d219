"""The command line: `gemma-circuits attribute`, `prune`, `info`, `convert`, `catalogue`, `lab`."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from io import TextIOWrapper

from . import commands
from .parser import build_parser

__all__ = ["main"]

DONE, INTERNAL, USAGE, BAD_INPUT, NOT_WRITTEN, INTERRUPTED, NO_READER = 0, 1, 2, 3, 4, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; None for those of this process.

    Returns:
        the exit code; `gemma-circuits --help` says what each means.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # tokens hold any character, a terminal may not
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = build_parser()
    try:
        args, args.rest = parser.parse_known_args(argv)
        if args.rest and args.run is not commands.lab:
            parser.error(f"unrecognized arguments: {' '.join(args.rest)}")
    except SystemExit as stop:
        return int(stop.code or DONE)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
            args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except Exception as error:
        return _explain(error)
    return DONE


def _explain(error: Exception) -> int:
    from ..data.errors import GemmaCircuitsError, StorageError
    from .report import plain

    if not isinstance(error, GemmaCircuitsError):
        traceback.print_exception(error)
        _say("this is an error inside gemma-circuits: please report it with the lines above")
        return INTERNAL
    _say(plain(" ".join(str(error).splitlines())))
    return NOT_WRITTEN if isinstance(error, StorageError) else BAD_INPUT


def _say(text: str) -> None:
    print(f"gemma-circuits: {text}", file=sys.stderr)
