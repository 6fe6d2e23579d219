"""From a corpus in any form to contexts: rows of token ids of bounded length, always cut in the same places."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..data.errors import ArgumentError, CorpusError
from ..models import ReplacementModel
from ..models.prompt import encode_text, ignored_positions

Text = str | Sequence[int] | Tensor
Corpus = str | PathLike[str] | Iterable[Text | Mapping[str, Any]]
BLOCK = 2**16
"""Characters of a file that make one text, up to the end of a line."""


@dataclass(frozen=True)
class Context:
    """What the model sees at once."""

    token_ids: list[int]
    ignored: int
    """Leading positions without features."""
    end: tuple[int, int]
    """Where the next one begins: texts read to their end, and contexts made of the one after these."""
    digest: str
    """Of all texts read to their end."""


def contexts(
    model: ReplacementModel, corpus: Corpus, length: int, after: tuple[int, int] = (0, 0), digest: str = ""
) -> Iterator[Context]:
    """Cut a corpus into contexts.

    A string becomes `<bos>` and its tokens; where these are too many, the rest follows in further contexts, each with
    its own `<bos>`. Token ids are taken as they are, and what follows of them likewise.

    Args:
        model: whose tokenizer to use.
        corpus: see `collect`.
        length: tokens of a context at most, `<bos>` included.
        after: where to begin: the `end` of a context; what lies before is read but not tokenised.
        digest: what that context had.

    Raises:
        CorpusError: a text that cannot be read, or no corpus.
        ArgumentError: with `after`: what lies before is not what it was.
    """
    chain, count = "", 0
    for number, text in enumerate(texts(corpus)):
        if number == after[0] and chain != digest:
            raise _other(after[0])
        count = number + 1
        before, chain = chain, hashlib.blake2b(chain.encode() + _bytes(text, number), digest_size=16).hexdigest()
        if number < after[0]:
            continue
        pieces = _pieces(model, text, number, length)
        for index, ids in enumerate(pieces):
            if (number, index) < after:
                continue
            ignored = ignored_positions(ids, model.tokenizer, model.architecture.chat_prefix)
            if ignored < len(ids):
                is_last = index + 1 == len(pieces)
                end, done = ((number + 1, 0), chain) if is_last else ((number, index + 1), before)
                yield Context(ids, ignored, end, done)
    if count < after[0] or (count == after[0] and chain != digest):
        raise _other(after[0])


def texts(corpus: Corpus) -> Iterator[Text]:
    """The texts of a corpus, one after the other.

    Raises:
        CorpusError: a file that is not UTF-8, a folder without text files, items that are no texts.
    """
    if isinstance(corpus, str | PathLike):
        for file in _files(Path(corpus)):
            yield from _blocks(file)
        return
    for number, item in enumerate(corpus):
        if isinstance(item, Mapping):
            if not isinstance(item.get("text"), str):
                remedy = "pass one column: dataset['name of the column']"
                got = f"columns {', '.join(map(str, item))}"
                raise CorpusError(f"text {number}", expected="a column 'text'", got=got, remedy=remedy)
            item = item["text"]
        yield item


def _files(path: Path) -> list[Path]:
    try:
        if found := sorted(path.rglob("*.txt")) if path.is_dir() else [path] * path.is_file():
            return found
        got = f"none at {path.name!r}"
    except OSError as error:  # a text in place of a path is often too long for one
        got = str(error.strerror)
    remedy = "pass a file, a folder of .txt files, or a list of texts"
    raise CorpusError("corpus", expected="text files", got=got, remedy=remedy)


def _blocks(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8") as stream:
            while block := stream.read(BLOCK) + stream.readline(BLOCK):
                yield block
    except (OSError, UnicodeDecodeError) as error:
        remedy = "convert it to UTF-8 or take it out; what was collected so far is kept"
        raise CorpusError(file.name, expected="UTF-8 text", got=str(error), remedy=remedy) from error


def _pieces(model: ReplacementModel, text: Text, number: int, length: int) -> list[list[int]]:
    tokenizer, bos = model.tokenizer, []
    if isinstance(text, str):
        ids = encode_text(tokenizer, text)
        bos = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
        ids = ids[1:] if ids[:1] == bos else ids
    else:
        ids = _token_ids(text, number)
        if bad := [i for i in ids if not 0 <= i < model.vocabulary]:
            expected = f"token ids from 0 to {model.vocabulary - 1}"
            raise CorpusError(f"text {number}", expected=expected, got=str(bad[0]))
    step = length - len(bos)
    return [bos + ids[start : start + step] for start in range(0, len(ids), step)]


def _token_ids(text: Any, number: int) -> list[int]:
    try:
        if isinstance(text, bytes):  # whose items are numbers too
            raise TypeError
        items = text.reshape(-1).tolist() if isinstance(text, Tensor | np.ndarray) else text
        return [operator.index(item) for item in items]
    except (TypeError, RuntimeError) as error:
        raise CorpusError(f"text {number}", expected="a string or token ids", got=type(text).__name__) from error


def _bytes(text: Text, number: int) -> bytes:
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            raise CorpusError(f"text {number}", expected="Unicode text", got=str(error)) from error
    return np.array(_token_ids(text, number), np.int64).tobytes()


def _other(count: int) -> ArgumentError:
    return ArgumentError(
        "corpus",
        expected=f"the first {count} texts to be those that were collected before",
        got="others",
        remedy="resume with the same corpus, or collect this one into another folder",
    )
