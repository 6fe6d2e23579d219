"""Hugging Face's own forward pass, made linear by hooks, and an attribution graph's sources fed into it.

Independent of the engine under test: attention patterns are imposed on the real attention modules, norms multiply by
the factor that they had on the prompt, MLP outputs are imposed, and an affine skip follows its input.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from gemma_circuits.data import Graph
from gemma_circuits.models import ReplacementModel
from gemma_circuits.transcoders.protocol import Site


class Run(NamedTuple):
    """What arrives where targets read, for each of a batch of inputs."""

    reads: list[Tensor]
    """Per layer (batch, positions, d): what the dictionary reads."""
    logits: Tensor
    """(batch, vocabulary): at the last position, before a softcap."""


class FrozenNetwork:
    """The network with what attribution freezes frozen at its values on one prompt."""

    def __init__(self, model: ReplacementModel, token_ids: tuple[int, ...]) -> None:
        self.network, self.ids, self.dictionary = model.module, torch.tensor([token_ids]), model.transcoder
        self.decoder = self.network.get_decoder()
        layers = self.decoder.layers
        sandwich = hasattr(layers[0], "pre_feedforward_layernorm")
        self.mlp_norms = [
            layer.pre_feedforward_layernorm if sandwich else layer.post_attention_layernorm for layer in layers
        ]
        self.mlp_outs = [layer.post_feedforward_layernorm if sandwich else layer.mlp for layer in layers]
        self.norms = [
            self.decoder.norm,
            *self.mlp_norms,
            *(layer.input_layernorm for layer in layers),
            *(layer.post_attention_layernorm for layer in layers if sandwich),
        ]
        self.factors: dict[object, Tensor] = {}
        self.rms: dict[object, Tensor] = {}
        self.patterns: list[Tensor] = []
        self.mlp_out: list[Tensor] = []
        self._record(type(layers[0].self_attn).__module__)

    def _record(self, attention_module: str) -> None:
        self.attention = sys.modules[attention_module]
        eager = self.attention.eager_attention_forward

        def attend(*args, **kwargs):
            out, pattern = eager(*args, **kwargs)
            self.patterns.append(pattern)
            return out, pattern

        def norm(module, args, output):
            self.factors[module] = output / args[0]
            self.rms[module] = args[0].pow(2).mean(-1, keepdim=True).sqrt()

        with ExitStack() as stack:
            stack.enter_context(patch.object(self.attention, "eager_attention_forward", attend))
            for module in self.norms:
                stack.callback(module.register_forward_hook(norm).remove)
            for module in self.mlp_outs:
                keep = module.register_forward_hook(lambda module, args, output: self.mlp_out.append(output[0]))
                stack.callback(keep.remove)
            embed = self.decoder.embed_tokens.register_forward_hook(
                lambda module, args, output: setattr(self, "embeddings", output[0])
            )
            stack.callback(embed.remove)
            self.logits = self.network(self.ids).logits[0, -1]

    @torch.no_grad()
    def run(self, embeddings: Tensor, writes: list[Tensor]) -> Run:
        """Run with these embeddings and MLP outputs (without what affine skips add): each (batch, positions, d)."""
        reads: list[Tensor] = []

        def attend(module, query, key, value, *args, **kwargs):
            pattern = self.patterns[module.layer_idx]
            value = value.repeat_interleave(pattern.shape[1] // value.shape[1], dim=1)
            return (pattern @ value).transpose(1, 2), pattern

        def norm(module, args, output):
            return args[0] * self.factors[module]

        def read(module, args, output):
            reads.append(self._read(module, args[0]))

        def impose(layer):
            skip = self.dictionary.skip(layer)
            return lambda *_: writes[layer] + (0 if skip is None else reads[layer] @ skip)

        with ExitStack() as stack:
            stack.enter_context(patch.object(self.attention, "eager_attention_forward", attend))
            hooks = [module.register_forward_hook(norm) for module in self.norms]
            hooks += [module.register_forward_hook(read) for module in self.mlp_norms]
            hooks += [module.register_forward_hook(impose(i)) for i, module in enumerate(self.mlp_outs)]
            hooks.append(self.decoder.embed_tokens.register_forward_hook(lambda *_: embeddings))
            logits = []
            hooks.append(self.network.lm_head.register_forward_hook(lambda *of: logits.append(of[-1][:, -1])))
            for hook in hooks:
                stack.callback(hook.remove)
            self.network(self.ids.expand(len(embeddings), -1))
        return Run(reads, logits[0])

    def _read(self, norm: object, x: Tensor) -> Tensor:
        site = self.dictionary.reads
        return x if site == Site.RESID_MID else x * self.factors[norm] if site == Site.MLP_IN else x / self.rms[norm]


class FrozenSources:
    """Every source of a graph that holds all active features, as input to a `FrozenNetwork`."""

    def __init__(self, model: ReplacementModel, graph: Graph) -> None:
        self.graph, self.dictionary = graph, model.transcoder
        self.network = FrozenNetwork(model, graph.token_ids[: graph.n_positions])
        n_layers, n_positions, width = model.n_layers, graph.n_positions, model.d_model
        nodes = graph.nodes.where(kind=("feature", "error", "token"))
        self.embeddings = torch.zeros(len(nodes), n_positions, width)
        self.writes = [torch.zeros(len(nodes), n_positions, width) for _ in range(n_layers)]
        for node in nodes.where(kind="feature"):
            decoder = self.dictionary.tensors(node.layer).w_dec[node.feature]
            for output, vector in zip(self.dictionary.written(node.layer), decoder):
                self.writes[output][node.index, node.position] = node.activation * vector
        for node in nodes.where(kind="token"):
            self.embeddings[node.index, node.position] = self.network.embeddings[node.position]
        # An error is what the features, the decoder bias and the skip leave of the true MLP output.
        ignored = model.prompt(graph.token_ids).ignored
        skipped = self._skipped(model)
        self.constants = []
        for layer, true in enumerate(self.network.mlp_out):
            constant = self.dictionary.decoder_bias(layer).expand_as(true).clone()
            constant[:ignored] = (true - skipped[layer])[:ignored]
            error = true - skipped[layer] - constant - self.writes[layer].sum(0)
            for node in nodes.where(kind="error", layer=layer):
                self.writes[layer][node.index, node.position] = error[node.position]
            self.constants.append(constant)

    def _skipped(self, model: ReplacementModel) -> list[Tensor]:
        captured = []
        hooks = [
            norm.register_forward_hook(lambda norm, args, _: captured.append(self.network._read(norm, args[0])[0]))
            for norm in self.network.mlp_norms
        ]
        model.module(self.network.ids)
        for hook in hooks:
            hook.remove()
        skips = [self.dictionary.skip(layer) for layer in range(model.n_layers)]
        return [torch.zeros_like(x) if skip is None else x @ skip for x, skip in zip(captured, skips)]

    def arriving(self, switched_on: Tensor) -> Tensor:
        """What arrives at every target of the graph with these sources on: (batch, sources) to (batch, targets)."""

        def mix(sources: Tensor) -> Tensor:
            return torch.einsum("bs,spd->bpd", switched_on, sources)

        run = self.network.run(
            mix(self.embeddings), [mix(own) + constant for own, constant in zip(self.writes, self.constants)]
        )
        columns = []
        for node in self.graph.nodes.where(kind="feature"):
            tensors = self.dictionary.tensors(node.layer)
            read = run.reads[node.layer][:, node.position]
            columns.append(read @ tensors.w_enc[:, node.feature] + tensors.b_enc[node.feature])
        for node in self.graph.nodes.where(kind="logit"):
            columns.append(run.logits[:, node.token_id] - run.logits.mean(1))
        return torch.stack(columns, 1)
