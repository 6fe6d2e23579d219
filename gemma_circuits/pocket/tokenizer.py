"""The pocket model's tokenizer: whole words as a SentencePiece-like unigram, in Gemma's dress.

As in Gemma, a space is written "▁" and belongs to the word after it, digits stand alone, unknown characters fall
back to bytes, `<bos>` is put in front and any text comes back unchanged (but for a "▁" of its own).
"""

import re
import string

from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
"""Their place here is their id; the first four are Gemma's."""

CHAT_TEMPLATE = """\
{{ bos_token }}
{%- for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (message['content'] | trim) + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\\n' }}
{%- endif -%}
"""
"""Gemma 3's, for text alone and without system turns."""


def pieces(names: list[str], texts: list[str]) -> list[str]:
    """Vocabulary without the special tokens: bytes, characters, words as they occur, names with and without space."""
    words = {f"▁{name}".replace(" ", "▁") for name in names} | {name.replace(" ", "▁") for name in names}
    longest_first = sorted(names, key=len, reverse=True)
    a_name = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    for text in texts:
        rest = a_name.sub("", text)
        words |= set(re.findall(r"▁?[^\W\d_]+", rest.replace(" ", "▁")))
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    characters = sorted(set(string.printable) - set("\r\x0b\x0c ") | {"▁"})
    return [*bytes_, *characters, *sorted(words - set(characters))]


def build(names: list[str], texts: list[str]) -> PreTrainedTokenizerFast:
    """The tokenizer whose single tokens are `names` and the words of `texts`.

    Every piece costs the same, so the fewest pieces win; a single character costs more, so that a word never ends
    in letters where two words would do.
    """
    vocabulary = [(token, 0.0) for token in SPECIAL]
    vocabulary += [(piece, -10.0 if len(piece) > 1 else -15.0) for piece in pieces(names, texts)]
    core = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL.index("<unk>"), byte_fallback=True))
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bos = SPECIAL.index("<bos>")
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
