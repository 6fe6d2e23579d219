"""From what a user types to the tokens that a model sees."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..data.errors import EmptyPromptError, PromptError, PromptTooLongError

PromptLike = str | Sequence[int] | Sequence[Mapping[str, str]] | Tensor


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt."""

    text: str
    """As given, or the decoded tokens; tokenising it again gives `token_ids`."""
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    """Text of each token, leading space included."""
    ignored: int
    """Number of leading positions without feature nodes: those that dictionaries are not trained on."""

    def __len__(self) -> int:
        return len(self.token_ids)


def tokenize(prompt: PromptLike, tokenizer: Any, *, context: int, vocabulary: int, chat_prefix: str | None) -> Prompt:
    """Tokenise a string (`<bos>` goes before it), chat messages (template applied) or take token ids as they are.

    Args:
        prompt: the prompt; chat messages are mappings with `role` and `content`, and a last message of the assistant
            is left open, to be continued.
        tokenizer: the model's Hugging Face tokenizer.
        context: the longest prompt that the model takes, in tokens.
        vocabulary: number of token ids.
        chat_prefix: see `Architecture.chat_prefix`.

    Raises:
        EmptyPromptError, PromptTooLongError, PromptError: the prompt cannot be traced.
    """
    text, ids = _ids(prompt, tokenizer)
    if not [i for i in ids if i != tokenizer.bos_token_id]:
        raise EmptyPromptError("prompt", expected="at least one token besides <bos>", got=repr(prompt))
    if len(ids) > context:
        raise PromptTooLongError("prompt", expected=f"at most {context} tokens", got=f"{len(ids)}", remedy="shorten it")
    if bad := [i for i in ids if not 0 <= i < vocabulary]:
        raise PromptError("prompt", expected=f"token ids from 0 to {vocabulary - 1}", got=str(bad[0]))
    return Prompt(
        text if text is not None else tokenizer.decode(ids, skip_special_tokens=False),
        tuple(ids),
        tuple(token_text(tokenizer, i) for i in ids),
        ignored_positions(ids, tokenizer, chat_prefix),
    )


def token_text(tokenizer: Any, token_id: int) -> str:
    """Text of one token, leading space included."""
    return tokenizer.decode([token_id], skip_special_tokens=False, clean_up_tokenization_spaces=False)


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text exactly as written, without `<bos>`."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def ignored_positions(ids: list[int], tokenizer: Any, chat_prefix: str | None) -> int:
    """Number of leading positions that dictionaries are not trained on, for a prompt of at least one token."""
    if tokenizer.chat_template and chat_prefix:
        prefix = encode_text(tokenizer, chat_prefix)
        if ids[: len(prefix)] == prefix:
            return len(prefix)
    return int(tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id)


def _ids(prompt: PromptLike, tokenizer: Any) -> tuple[str | None, list[int]]:
    if isinstance(prompt, str):
        ids, bos = encode_text(tokenizer, prompt), tokenizer.bos_token_id
        return prompt, ids if bos is None or ids[:1] == [bos] else [bos, *ids]
    if isinstance(prompt, Tensor):
        if prompt.is_floating_point() or prompt.squeeze().ndim > 1:
            raise PromptError(
                "prompt", expected="a row of integer token ids", got=f"{prompt.dtype} {tuple(prompt.shape)}"
            )
        return None, prompt.reshape(-1).tolist()
    items: list[Any] = list(prompt) if isinstance(prompt, Iterable) else [prompt]
    if items and all(isinstance(item, Mapping) and {"role", "content"} <= item.keys() for item in items):
        return None, _chat(items, tokenizer)
    try:
        return None, [operator.index(item) for item in items]
    except TypeError as error:
        raise PromptError(
            "prompt",
            expected="a string, token ids, or chat messages with 'role' and 'content'",
            got=f"{type(prompt).__name__} of {type(items[0]).__name__}",
        ) from error


def _chat(messages: list[Any], tokenizer: Any) -> list[int]:
    if not tokenizer.chat_template:
        raise PromptError(
            "chat messages",
            expected="a model with a chat template",
            got="a tokenizer without one",
            remedy="pass a string",
        )
    is_open = messages[-1]["role"] in ("assistant", "model")
    try:
        return tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            add_generation_prompt=not is_open,
            continue_final_message=is_open,
            return_dict=False,
        )
    except Exception as error:  # templates raise what their author chose, jinja2's own errors among them
        raise PromptError("chat messages", expected="turns that the chat template accepts", got=str(error)) from error
