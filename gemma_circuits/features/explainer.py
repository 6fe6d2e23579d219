"""A local chat model that puts into words what a feature fires on, and tells where a description fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..data.errors import ArgumentError, MissingWeightsError
from .rules import Occurrence

SHOWN = 10
"""Occurrences in one question."""
ASK = (
    "In each of these texts one word is marked «like this».\n\n{texts}\n\n"
    "What do the marked words, or the words around them, have in common? Answer with one short phrase."
)
CHECK = (
    "Description: {label}\n\nText, with one word marked «like this»:\n{text}\n\n"
    "Does the description fit the marked word? Answer Yes or No."
)


class Explainer:
    """A Hugging Face causal language model with a chat template; nothing leaves this machine.

    Its answers are those of greedy decoding, so the same question gets the same answer.

    Args:
        network: from `transformers`, on any device.
        tokenizer: its tokenizer.
        name: shown as the source of its labels.

    Raises:
        ArgumentError: no chat template, or a tokenizer to which "Yes" and "No" begin alike.

    Example:
        >>> explainer = Explainer.open("/models/gemma-3-4b-it")  # doctest: +SKIP
    """

    def __init__(self, network: Any, tokenizer: Any, name: str) -> None:
        if not tokenizer.chat_template:
            raise ArgumentError(f"explainer {name}", expected="a model with a chat template", got="one without")
        self.network, self.tokenizer, self.name = network.eval(), tokenizer, name
        yes, no = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No"))
        if yes == no:
            raise ArgumentError(f"explainer {name}", expected="a tokenizer that tells 'Yes' from 'No'")
        self._answers = [yes, no]

    @classmethod
    def open(cls, path: str | Path) -> Explainer:
        """Load one from a local folder (or the hub's cache).

        Raises:
            MissingWeightsError: there is none.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            network = AutoModelForCausalLM.from_pretrained(str(path), dtype="auto", use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(str(path))
        except (OSError, ValueError) as error:
            raise MissingWeightsError(
                f"explainer {Path(path).name}", expected="a folder of a chat model", got=str(error).split("\n")[0]
            ) from error
        return cls(network, tokenizer, Path(path).name)

    def explain(self, occurrences: Sequence[Occurrence]) -> str:
        """A phrase that describes the first occurrences; empty where the model says nothing."""
        texts = "\n".join(f"{i}. {marked(o)}" for i, o in enumerate(occurrences[:SHOWN], 1))
        ids = self._ids(ASK.format(texts=texts))
        with torch.no_grad():
            out = self.network.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=32, do_sample=False, num_beams=1
            )
        answer = self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        return next((line.strip(" .\"'") for line in answer.splitlines() if line.strip(" .\"'")), "")

    def fits(self, label: str, occurrence: Occurrence) -> bool:
        """Whether "Yes" is likelier than "No" when asked if a description fits the marked word."""
        with torch.no_grad():
            logits = self.network(self._ids(CHECK.format(label=label, text=marked(occurrence)))).logits[0, -1]
        yes, no = logits[self._answers].tolist()
        return yes > no

    def _ids(self, question: str) -> torch.Tensor:
        ids = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
        )
        return torch.tensor([ids], device=self.network.device)


def marked(occurrence: Occurrence) -> str:
    """The piece of text with its one token in «marks»; the token's leading space stays outside them."""
    before = "".join(occurrence.tokens[: occurrence.index])
    after = "".join(occurrence.tokens[occurrence.index + 1 :])
    word = occurrence.token.strip()
    lead, _, trail = occurrence.token.partition(word) if word else ("", "", "")
    return f"{before}{lead}«{word or occurrence.token}»{trail}{after}"
