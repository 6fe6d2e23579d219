"""What is traced: tokens, logit differences and directions, as vectors after the final norm."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, SupportsIndex

import torch
from torch import Tensor

from ..data.errors import ArgumentError, TargetError
from ..data.graph import Target
from ..models import Capture, ReplacementModel
from ..models.prompt import encode_text, token_text


@dataclass(frozen=True)
class LogitDifference:
    """The logit of one token minus that of another, as one target of weight 1.

    Example:
        >>> LogitDifference(" Austin", " Dallas")
        LogitDifference(' Austin' - ' Dallas')
    """

    positive: str | int
    """A token as text (" Austin", not "Austin") or id."""
    negative: str | int

    def __repr__(self) -> str:
        return f"LogitDifference({self.positive!r} - {self.negative!r})"


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction after the final norm, as one target of weight 1."""

    vector: Tensor
    """(d,): used as it is, without subtracting the mean unembedding."""
    name: str = ""
    """Shown in place of a token; "direction 0", "direction 1"... where empty."""


TargetLike = str | int | LogitDifference | Direction | Tensor


class Targets(NamedTuple):
    """Resolved targets: what is shown of them, and their vectors."""

    shown: tuple[Target, ...]
    vectors: Tensor
    """(targets, d) float32."""


def resolve_targets(
    model: ReplacementModel,
    captured: Capture,
    targets: TargetLike | Sequence[TargetLike] | None,
    *,
    max_logits: int,
    logit_mass: float,
) -> Targets:
    """Turn what a user asked for into vectors.

    Args:
        model: the model.
        captured: its forward pass, whose last position is the one traced.
        targets: one or several; None for the fewest top tokens whose probability reaches `logit_mass`.
        max_logits: at most so many by default, 1 or more.
        logit_mass: in (0, 1].

    Raises:
        TargetError: a string that is not one token, an id outside the vocabulary, a direction of another width.
        ArgumentError: `max_logits` or `logit_mass` out of range.
    """
    probabilities = captured.logits.softmax(-1)
    if targets is None:
        wanted: list[TargetLike] = list(_top(probabilities, max_logits, logit_mass))
    elif isinstance(targets, str | int | LogitDifference | Direction):
        wanted = [targets]
    elif isinstance(targets, Tensor):
        wanted = [targets] if targets.ndim == int(targets.is_floating_point()) else list(targets)
    else:
        wanted = list(targets) if isinstance(targets, Iterable) else [targets]
    if not wanted:
        raise TargetError("targets", expected="at least one", got="none")

    def unembed(token_id: int) -> Tensor:
        return model.unembedding[token_id].float()

    shown, vectors = [], []
    for index, target in enumerate(wanted):
        if isinstance(target, Tensor) and target.is_floating_point():
            target = Direction(target)
        elif isinstance(target, SupportsIndex) and getattr(target, "shape", ()) == ():
            target = operator.index(target)  # an integer of numpy or torch
        if isinstance(target, str | int):
            token_id = find_token(model, target)
            name, probability = token_text(model.tokenizer, token_id), float(probabilities[token_id])
            vectors.append(unembed(token_id) - model.mean_unembedding)
        else:
            # These have no token of their own; ids past the vocabulary keep them apart.
            token_id, probability = model.vocabulary + index, 1.0
            if isinstance(target, LogitDifference):
                a, b = (find_token(model, t) for t in (target.positive, target.negative))
                if a == b:
                    raise TargetError(f"targets[{index}]", expected="two different tokens", got=repr(target))
                name = f"{token_text(model.tokenizer, a)} minus {token_text(model.tokenizer, b)}"
                vectors.append(unembed(a) - unembed(b))
            elif isinstance(target, Direction):
                name = target.name or f"direction {index}"
                vectors.append(_checked(target.vector, name, model.d_model).to(model.unembedding.device))
            else:
                raise TargetError(
                    f"targets[{index}]",
                    expected="a token, an id, a LogitDifference or a direction",
                    got=repr(target),
                )
        shown.append(Target(token=name, token_id=token_id, probability=probability))
    if len({target.token_id for target in shown}) < len(shown):
        raise TargetError("targets", expected="each token once", got=", ".join(repr(t.token) for t in shown))
    return Targets(tuple(shown), torch.stack(vectors))


def _top(probabilities: Tensor, max_logits: int, logit_mass: float) -> list[int]:
    if max_logits < 1:
        raise ArgumentError("max_logits", expected="1 or more", got=str(max_logits))
    if not 0 < logit_mass <= 1:
        raise ArgumentError("logit_mass", expected="a share above 0 and at most 1", got=str(logit_mass))
    top = probabilities.topk(min(max_logits, len(probabilities)))
    reached = int((top.values.cumsum(0) < logit_mass).sum()) + 1
    return top.indices[:reached].tolist()


def find_token(model: ReplacementModel, token: str | int) -> int:
    """The id of one token, given as text or as its id.

    Raises:
        TargetError: a string that is not one token, an id outside the vocabulary.
    """
    if isinstance(token, int):
        if not 0 <= token < model.vocabulary:
            raise TargetError("target", expected=f"a token id from 0 to {model.vocabulary - 1}", got=str(token))
        return token
    ids = encode_text(model.tokenizer, token)
    if _is_one(model, token, ids):
        return ids[0]
    other = token[1:] if token.startswith(" ") else f" {token}"
    pieces = [token_text(model.tokenizer, i) for i in ids]
    if _is_one(model, other, encode_text(model.tokenizer, other)):
        remedy = f"{other!r} is one token"
    else:
        remedy = f"trace its first token, {pieces[0]!r}" if pieces else "name a token"
    raise TargetError(f"target {token!r}", expected="one token", got=f"{len(ids)}: {pieces}", remedy=remedy)


def _is_one(model: ReplacementModel, token: str, ids: list[int]) -> bool:
    unknown = model.tokenizer.unk_token
    return len(ids) == 1 and (ids[0] != model.tokenizer.unk_token_id or token == unknown)


def _checked(vector: Tensor, name: str, width: int) -> Tensor:
    if vector.shape != (width,):
        raise TargetError(name, expected=f"a vector of {width}", got=str(tuple(vector.shape)))
    if not vector.isfinite().all() or not vector.any():
        raise TargetError(
            name, expected="finite values, not all zero", got="zeros" if not vector.any() else "NaN or infinity"
        )
    return vector.float()
