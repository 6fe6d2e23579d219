"""Labels that are rules: each says of any token in a text whether the feature should fire there, and can be tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .effects import TokenEffect

NAMED = 5
"""Tokens that a label names; it tells how many more there are."""
FOLDS = 4


class Occurrence(NamedTuple):
    """One token in a piece of text."""

    tokens: tuple[str, ...]
    """Of the piece, leading spaces included."""
    index: int
    """Which of them."""
    position: int
    """Its position in the context that the piece is from."""

    @property
    def token(self) -> str:
        """Its text."""
        return self.tokens[self.index]


@dataclass(frozen=True)
class Rule:
    """A label that predicts."""

    method: str
    """The family that it is from."""
    text: str
    """The label."""
    fires: Callable[[Occurrence], bool]
    """Whether the feature should fire there."""


Family = Callable[[Sequence[Occurrence], Sequence[Occurrence]], "Rule | None"]
"""Makes the rule that fits occurrences where a feature fires and others where it does not; None where there is none."""

CLASSES: dict[str, Callable[[str], bool]] = {
    "digits": str.isdigit,
    "capitalised words": lambda word: word[:1].isupper() and not word[1:].isupper(),
    "words in capitals": lambda word: len(word) > 1 and word.isupper(),
    "words in small letters": lambda word: word.isalpha() and word.islower(),
    "punctuation": lambda word: word != "" and not any(c.isalnum() or c.isspace() for c in word),
    "white space": lambda word: word == "",
    "text outside ASCII": lambda word: not word.isascii(),
}
"""Kinds of tokens, told by their text without surrounding white space."""


def balanced_accuracy(rule: Rule, fired: Sequence[Occurrence], silent: Sequence[Occurrence]) -> float:
    """The mean of the shares that a rule gets right where a feature fires and where it does not; 0.5 is chance."""
    hits = sum(map(rule.fires, fired)) / len(fired)
    return (hits + 1 - sum(map(rule.fires, silent)) / len(silent)) / 2


def best_rule(fired: Sequence[Occurrence], silent: Sequence[Occurrence], families: Sequence[Family]) -> Rule | None:
    """The rule of the family that predicts occurrences it was not made from best; None if none beats chance.

    Families are compared by cross-validation: a list of all tokens seen always fits what it was made from.

    Args:
        fired: where the feature fires, at least 2.
        silent: where it does not, at least 2.
        families: in order of preference, where several predict equally well.
    """
    best, found = 0.5, None
    for family in families:
        score = _cross_validated(family, fired, silent)
        if score > best and (rule := family(fired, silent)) is not None:
            best, found = score, rule
    return found


def families(
    promoted: Sequence[TokenEffect], classes: Mapping[str, Collection[str]] | None = None
) -> tuple[Family, ...]:
    """All families of rules for a feature.

    Args:
        promoted: the tokens that it promotes.
        classes: further kinds of tokens by name, as lists of words without surrounding white space.
    """
    kinds = {**{name: words.__contains__ for name, words in _word_lists(classes).items()}, **CLASSES}
    return (_position, _from_classes(kinds), _tokens, _after, _earlier, _from_promoted(promoted))


def _cross_validated(family: Family, fired: Sequence[Occurrence], silent: Sequence[Occurrence]) -> float:
    folds, scores = min(FOLDS, len(fired), len(silent)), []
    for fold in range(folds):
        rule = family(*([o for i, o in enumerate(part) if i % folds != fold] for part in (fired, silent)))
        scores.append(balanced_accuracy(rule, fired[fold::folds], silent[fold::folds]) if rule else 0.5)
    return sum(scores) / len(scores)


def _tokens(fired: Sequence[Occurrence], silent: Sequence[Occurrence]) -> Rule:
    counts = Counter(o.token for o in fired)
    return Rule("tokens", f"fires on {_listed(counts)}", lambda o: o.token in counts)


def _after(fired: Sequence[Occurrence], silent: Sequence[Occurrence]) -> Rule | None:
    counts = Counter(o.tokens[o.index - 1] for o in fired if o.index)
    if not counts:
        return None
    return Rule("after", f"fires after {_listed(counts)}", lambda o: o.index > 0 and o.tokens[o.index - 1] in counts)


def _position(fired: Sequence[Occurrence], silent: Sequence[Occurrence]) -> Rule:
    position = Counter(o.position for o in fired).most_common(1)[0][0]
    return Rule("position", f"fires at position {position}", lambda o: o.position == position)


def _earlier(fired: Sequence[Occurrence], silent: Sequence[Occurrence]) -> Rule | None:
    """One token somewhere before."""
    counts = Counter(token for o in fired for token in set(o.tokens[: o.index]))
    rules = [_has_before(token) for token, _ in counts.most_common(20)]
    return max(rules, key=lambda rule: balanced_accuracy(rule, fired, silent), default=None)


def _has_before(token: str) -> Rule:
    return Rule("earlier", f"fires somewhere after {token!r}", lambda o: token in o.tokens[: o.index])


def _from_classes(kinds: Mapping[str, Callable[[str], bool]]) -> Family:
    rules = [
        Rule("class", f"fires on {name}", lambda o, is_one=is_one: is_one(o.token.strip()))
        for name, is_one in kinds.items()
    ]
    return lambda fired, silent: max(rules, key=lambda rule: balanced_accuracy(rule, fired, silent))


def _from_promoted(promoted: Sequence[TokenEffect]) -> Family:
    """The token that follows is one that the feature promotes."""
    tokens = dict.fromkeys(effect.token for effect in promoted)
    rule = Rule(
        "promoted", f"promotes {_listed(tokens)}", lambda o: any(t in tokens for t in o.tokens[o.index + 1 :][:1])
    )
    return lambda fired, silent: rule


def _word_lists(classes: Mapping[str, Collection[str]] | None) -> dict[str, frozenset[str]]:
    return {name: frozenset(words) for name, words in (classes or {}).items()}


def _listed(tokens: Mapping[str, int] | dict[str, None]) -> str:
    names = [token for token, _ in tokens.most_common()] if isinstance(tokens, Counter) else list(tokens)
    more = len(names) - NAMED
    return ", ".join(map(repr, names[:NAMED])) + (f" and {more} more" if more > 0 else "")
