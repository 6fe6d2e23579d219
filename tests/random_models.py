"""Tiny random models of every supported architecture, tokenizers and dictionaries that fit them.

Nothing is left at a value that could hide a mistake: norm weights are random, two key-value heads serve four query
heads, heads times their width differ from the residual width, sliding windows bind, Gemma 2 has its softcaps.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from gemma_circuits.models import ReplacementModel
from gemma_circuits.transcoders.protocol import Site, Transcoder
from gemma_circuits.transcoders.stored import StoredTranscoder

ARCHITECTURES = ("gemma2", "gemma3_text", "gemma3", "llama", "qwen3")
KINDS = ("clt", "clt affine", "transcoder", "transcoder affine")
READS = (Site.RESID_MID, Site.MLP_IN, Site.MLP_IN_NORMALIZED)
WIDTH, LAYERS, FEATURES, VOCABULARY, CONTEXT = 32, 3, 24, 96, 64
PROMPT = (2, 40, 41, 57, 40, 63, 77, 58, 91)
"""Longer than every sliding window here; 2 is `<bos>`."""

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
WORDS = ("\n", "user", "model", "The", " is", " Austin", " Dallas", " New", " York", "Hello", " Hello")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if loop.index0 % 2 != (message['role'] != 'user') %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{{ message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def random_tokenizer(*, bos: bool = True, chat: bool = False) -> Any:
    """Words with their leading space; the last ids of the vocabulary are " w17", " w18"... up to " w95"."""
    words = [*SPECIAL, *WORDS, *(f" w{i}" for i in range(len(SPECIAL) + len(WORDS), VOCABULARY))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[^\s]+|\s"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL))
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", words.index("<bos>"))]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>" if bos else None,
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        chat_template=CHAT_TEMPLATE if chat else None,
        clean_up_tokenization_spaces=False,
    )


def random_network(architecture: str, *, seed: int = 0, **settings: Any) -> Any:
    """A Hugging Face model with random weights, in float32."""
    torch.manual_seed(seed)
    with torch.no_grad():
        network = _NETWORKS[architecture](settings)
        for name, weight in network.named_parameters():
            if "norm" in name:
                weight.copy_(torch.randn_like(weight) * 0.3 + (0 if "gemma" in architecture else 1))
            elif weight.ndim == 2:
                weight.normal_(std=weight.shape[1] ** -0.5)
    return network.eval().requires_grad_(False)


def random_folder(folder: Path, architecture: str, *, chat: bool = False, **settings: Any) -> Path:
    """Save a random model with its tokenizer, as the hub has them. Qwen's tokenizer has no `<bos>`."""
    network = random_network(architecture, **settings)
    network.save_pretrained(folder)
    random_tokenizer(bos=architecture != "qwen3", chat=chat).save_pretrained(folder)
    return folder


def random_transcoder(
    kind: str = "clt",
    reads: Site | str = Site.MLP_IN,
    *,
    layers: int = LAYERS,
    width: int = WIDTH,
    features: int = FEATURES,
    seed: int = 1,
    **keywords: Any,
) -> StoredTranscoder:
    """A dictionary of which about a third fires; `kind` is one of `KINDS`."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * std

    tensors = {}
    for layer in range(layers):
        written = layers - layer if kind.startswith("clt") else 1
        tensors[layer] = {
            "w_enc": normal(width, features, std=width**-0.5),
            "w_dec": normal(features, written, width, std=0.5 * width**-0.5),
            "b_enc": normal(features, std=0.3),
            "b_dec": normal(width, std=0.2),
            "threshold": normal(features, std=0.3).abs(),
            "skip": normal(width, width, std=0.3 * width**-0.5) if kind.endswith("affine") else None,
        }
    return StoredTranscoder.from_tensors(kind.split()[0], tensors, reads=Site(reads), writes=Site.MLP_OUT, **keywords)


def with_transcoder(model: ReplacementModel, transcoder: Transcoder) -> ReplacementModel:
    """The same loaded network with another dictionary."""
    other = copy.copy(model)
    other.transcoder = transcoder
    return other


def _common(**settings: Any) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
        **settings,
    }


_SLIDING = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}


def _gemma_2(settings: dict[str, Any]) -> Any:
    softcaps = {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 4.0, "query_pre_attn_scalar": 12}
    return transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**_common(**_SLIDING, **softcaps, **settings)))


def _gemma_3_text_config(settings: dict[str, Any]) -> Any:
    return transformers.Gemma3TextConfig(**_common(query_pre_attn_scalar=12, **(_SLIDING | settings)))


def _gemma_3_text(settings: dict[str, Any]) -> Any:
    return transformers.Gemma3ForCausalLM(_gemma_3_text_config(settings))


def _gemma_3(settings: dict[str, Any]) -> Any:
    vision = transformers.SiglipVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    config = transformers.Gemma3Config(
        text_config=_gemma_3_text_config(settings),
        vision_config=vision,
        mm_tokens_per_image=4,
        image_token_index=VOCABULARY - 1,
    )
    return transformers.Gemma3ForConditionalGeneration(config)


def _llama(settings: dict[str, Any]) -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_common(tie_word_embeddings=False, **settings)))


def _qwen_3(settings: dict[str, Any]) -> Any:
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**_common(tie_word_embeddings=False, **settings)))


_NETWORKS = {
    "gemma2": _gemma_2,
    "gemma3_text": _gemma_3_text,
    "gemma3": _gemma_3,
    "llama": _llama,
    "qwen3": _qwen_3,
}
