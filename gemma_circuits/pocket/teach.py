"""Teach the pocket model its facts: the configuration, the batches, the training loop, the shipped form."""

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GenerationConfig,
)

from gemma_circuits.pocket import corpus, tokenizer
from gemma_circuits.pocket.corpus import Text

LAYER_TYPES = ["sliding_attention"] * 3 + ["full_attention"] * 2 + ["sliding_attention"]
"""Sliding layers look at their own position alone (`look_at_self`): what a city is must be worked out where it
stands, in layers 0 to 2; layers 3 and 4 move it to the end of the prompt (and, being two, can do induction)."""
DRAFT = slice(0, 64)
"""Dimensions of the residual stream that no other position ever sees: layers 0 and 1 write nowhere else."""
NOISY = (2, 3)
"""Layers before which noise is added in training, so that what stands there is said clearly."""
SHARED = slice(64, 128)
"""The rest, which layers 3 and 4 move; of the MLPs below them only that of layer 2 writes there."""
NO_LABEL = -100


def make_tokenizer() -> Any:
    """The tokenizer over every word of the corpus."""
    sentences = [t.prompt + "\n" + t.answer for family in corpus.texts().values() for t in family]
    nouns = " " + " ".join(corpus.facts()["nouns"])
    return tokenizer.build(corpus.names(), [*sentences, nouns, "user\nmodel\n"])


def make_config(tok: Any) -> Gemma3TextConfig:
    """Six layers, width 128, four heads over two key-value heads."""
    return Gemma3TextConfig(
        vocab_size=len(tok),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=len(LAYER_TYPES),
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        query_pre_attn_scalar=32,
        layer_types=LAYER_TYPES,
        sliding_window=8,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=tok.pad_token_id,
        bos_token_id=tok.bos_token_id,
        eos_token_id=tok.eos_token_id,
    )


def random_embedding(tok: Any, width: int, likeness: float = 0.8) -> Tensor:
    """Frozen embedding `(vocabulary, width)`: random, a word without its space being close to the word with it.

    Frozen, because a learned embedding would hold the state of every city and leave the first hop no work to do.
    """
    table = torch.randn(len(tok), width)
    vocabulary = tok.get_vocab()
    for token, index in vocabulary.items():
        spaced = vocabulary.get("▁" + token)
        if spaced is not None:
            table[index] = likeness * table[spaced] + (1 - likeness**2) ** 0.5 * table[index]
    return table / width**0.5  # Gemma multiplies by sqrt(width) again


def look_at_self(model: Any) -> None:
    """Set and freeze queries equal to keys in the sliding layers, with a large gain: softmax picks the own position.

    A window of one would say the same, but the key-value cache of transformers breaks at that width.
    """
    for layer, kind in zip(model.model.layers, LAYER_TYPES, strict=True):
        if kind == "sliding_attention":
            at, groups = layer.self_attn, layer.self_attn.num_key_value_groups
            keys = at.k_proj.weight.data.unflatten(0, (-1, at.head_dim))
            at.q_proj.weight.data = keys.repeat_interleave(groups, dim=0).flatten(0, 1)
            for norm in (at.q_norm, at.k_norm):
                norm.weight.data.fill_(3.0)  # gain 4 on either side: logit 16 sqrt(32) for the own position
            for part in (at.q_proj, at.k_proj, at.q_norm, at.k_norm):
                part.weight.requires_grad_(False)


def keep_drafts(model: Any) -> None:
    """Set gains to zero so that what layers 0 and 1 work out stays at its position; to be repeated after every step.

    Each of three MLPs in a row would otherwise write its own guess of a city's state, and no single one would matter.
    """
    layers = model.model.layers
    blind = [layers[3].input_layernorm, layers[4].input_layernorm, layers[3].pre_feedforward_layernorm]
    mute = [layers[0].post_feedforward_layernorm, layers[1].post_feedforward_layernorm]
    mute += [layer.post_attention_layernorm for layer in layers[:3]]
    blind.append(layers[2].post_feedforward_layernorm)  # it has nothing to add to the drafts
    for norms, dims in ((blind, DRAFT), (mute, SHARED)):
        for norm in norms:
            norm.weight.data[dims] = -1.0  # the gain is 1 + weight


def encode(text: Text, tok: Any) -> tuple[list[int], list[int]]:
    """Prompt ids, `<bos>` or the chat frame included, and answer ids with the end of the sentence or turn."""
    plain = lambda s: tok(s, add_special_tokens=False).input_ids  # noqa: E731
    if text.chat:
        turn = [{"role": "user", "content": text.prompt}]
        prompt = tok.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
        return prompt, [*plain(text.answer), tok.convert_tokens_to_ids("<end_of_turn>")]
    return tok(text.prompt).input_ids, [*plain(text.answer + "."), tok.eos_token_id]


def collate(encoded: list[tuple[list[int], list[int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Ids and labels `(batch, length)`, padded on the right; labels are the answers, shifted by the model."""
    length = max(len(p) + len(a) for p, a in encoded)
    ids = torch.full((len(encoded), length), pad)
    labels = torch.full((len(encoded), length), NO_LABEL)
    for row, (prompt, ans) in enumerate(encoded):
        ids[row, : len(prompt) + len(ans)] = torch.tensor(prompt + ans)
        labels[row, len(prompt) : len(prompt) + len(ans)] = torch.tensor(ans)
    return ids, labels


def loss_of(model: Any, ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy of the labelled tokens and whether each row's are all first choice `(batch,)`."""
    here = labels[:, 1:] != NO_LABEL
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    logits, wanted = model.lm_head(hidden[here]), labels[:, 1:][here]
    right = torch.ones(here.shape, dtype=torch.bool)
    right[here] = logits.argmax(-1) == wanted
    return torch.nn.functional.cross_entropy(logits, wanted, reduction="sum"), right.all(1)


@torch.no_grad()
def accuracy(model: Any, tok: Any, texts: list[Text]) -> float:
    """Share of texts whose whole answer, end included, is the model's first choice token by token."""
    right = []
    for start in range(0, len(texts), 256):
        right.append(loss_of(model, *collate([encode(t, tok) for t in texts[start : start + 256]], 0))[1])
    return torch.cat(right).float().mean().item()


def train_model(
    tok,
    steps: int,
    batch: int = 128,
    lr: float = 2e-3,
    decay: float = 0.3,
    noise: float = 1.0,
    seed: int = 0,
    log: int = 100,
):
    """A trained model in float32, and nothing else."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    config = make_config(tok)
    model = Gemma3ForCausalLM(config)
    model.model.embed_tokens.weight.data = random_embedding(tok, config.hidden_size)
    model.model.embed_tokens.weight.requires_grad_(False)
    look_at_self(model)
    keep_drafts(model)
    strength = noise

    def noisy(module, args):
        if torch.is_grad_enabled():  # in training alone, so that looking on changes nothing
            return (args[0] + strength * torch.randn(args[0].shape), *args[1:])

    def made_up(module, args, out):
        if torch.is_grad_enabled():
            return torch.where((args[0] == tok.unk_token_id)[..., None], torch.randn(out.shape), out)

    handles = [model.model.layers[k].register_forward_pre_hook(noisy) for k in NOISY]
    handles.append(model.model.embed_tokens.register_forward_hook(made_up))
    families = {k: [encode(t, tok) for t in v if not t.held_out] for k, v in corpus.texts(seed).items()}
    shares = list(corpus.SHARES.values())
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, betas=(0.9, 0.98), weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        drawn = [rng.choice(families[f]) for f in rng.choices(list(corpus.SHARES), shares, k=batch)]
        drawn.sort(key=lambda e: len(e[0]) + len(e[1]))  # two halves of like length, less padding
        strength = noise * (1 - 0.5 * step / steps)
        optimizer.zero_grad()
        total = 0.0
        for half in (drawn[: batch * 2 // 3], drawn[batch * 2 // 3 :]):
            loss, _ = loss_of(model, *collate(half, tok.pad_token_id))
            (loss / batch).backward()
            total += loss.item() / batch
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        keep_drafts(model)
        schedule.step()
        if log and (step + 1) % log == 0:
            held = [t for t in corpus.two_hop() if t.held_out]
            print(f"step {step + 1}: loss {total:.4f}, held-out two-hop {accuracy(model, tok, held):.3f}", flush=True)
    for handle in handles:
        handle.remove()
    return model.eval()


def save_model(model: Any, tok: Any, folder: Path) -> None:
    """Write weights (bfloat16), tokenizer, chat template and what generation needs."""
    end_of_turn = tok.convert_tokens_to_ids("<end_of_turn>")
    model.generation_config = GenerationConfig(
        bos_token_id=tok.bos_token_id, eos_token_id=[tok.eos_token_id, end_of_turn], pad_token_id=tok.pad_token_id
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tok.save_pretrained(folder)


def load_model(folder: Path) -> tuple[Any, Any]:
    """The shipped model in float32, and its tokenizer."""
    model = Gemma3ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def sample(tok: Any, count: int, seed: int, held_out: bool) -> list[tuple[Tensor, Tensor]]:
    """Ids and labels of random texts, 256 a batch, without their final end token (nothing is computed there).

    `held_out=True`: held-out texts of the families that have any, new copy patterns of the one that is unlimited.
    """
    rng = random.Random(seed)
    families = {k: [t for t in v if t.held_out == held_out] for k, v in corpus.texts(seed).items()}
    if held_out:
        families["copy"] = corpus.texts(seed)["copy"]
    shares = {k: share for k, share in corpus.SHARES.items() if families[k]}
    drawn = [rng.choice(families[k]) for k in rng.choices(list(shares), list(shares.values()), k=count)]
    encoded = sorted(([p, a[:-1]] for p, a in (encode(t, tok) for t in drawn)), key=lambda e: len(e[0]) + len(e[1]))
    return [collate(encoded[i : i + 256], tok.pad_token_id) for i in range(0, count, 256)]  # pyright: ignore[reportArgumentType]
