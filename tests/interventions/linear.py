"""A model that is just what attribution says: linear norms, and MLPs that are a dictionary whose features stay on."""

from __future__ import annotations

import torch
from random_models import FEATURES, random_network, random_tokenizer, random_transcoder
from torch import nn

from gemma_circuits.models import ReplacementModel
from gemma_circuits.transcoders import StoredTranscoder

EPSILON = 1e8
"""Of the norms: beside it the mean square of what they read does not count, and they divide by its root."""


class Imitation(nn.Module):
    """An MLP whose output is what a dictionary writes to its layer; the MLPs of a model share what is still to come."""

    def __init__(self, transcoder: StoredTranscoder, layer: int, coming: dict[int, torch.Tensor]) -> None:
        super().__init__()
        self.transcoder, self.layer, self.coming = transcoder, layer, coming

    def forward(self, x):
        tensors = self.transcoder.tensors(self.layer)
        if self.layer == 0:
            self.coming.clear()
        active = (x @ tensors.w_enc + tensors.b_enc).relu()
        for output, vectors in zip(self.transcoder.written(self.layer), tensors.w_dec.unbind(1)):
            known = self.coming.get(output, torch.zeros_like(x[:1]))
            known = torch.cat([known, known[-1:].expand(len(x) - len(known), -1, -1)])  # batches grow on the way
            self.coming[output] = known + active @ vectors
        skip = 0 if tensors.skip is None else x @ tensors.skip
        return self.coming.pop(self.layer) + tensors.b_dec + skip


def linear_model(kind: str) -> ReplacementModel:
    """A Gemma 3 that its dictionary, of one of `random_models.KINDS`, replaces without an error."""
    network = random_network("gemma3_text", rms_norm_eps=EPSILON)
    network.set_attn_implementation("eager")
    for name, weight in network.named_parameters():
        if "norm" in name:
            weight.copy_(EPSILON**0.5 * (1 + weight) - 1)
    drawn, always = random_transcoder(kind, "mlp_in"), torch.arange(FEATURES) % 2 == 0
    layers = {}
    for layer in drawn.layers:
        tensors = drawn.tensors(layer)
        layers[layer] = {
            "w_enc": tensors.w_enc * 0.3,
            "w_dec": tensors.w_dec,
            "b_enc": torch.where(always, torch.linspace(40, 80, FEATURES), -100.0),
            "b_dec": tensors.b_dec,
            "skip": tensors.skip,
        }
    transcoder = StoredTranscoder.from_tensors(drawn.kind, layers, reads=drawn.reads, writes=drawn.writes)
    coming: dict[int, torch.Tensor] = {}
    for index, layer in enumerate(network.model.layers):
        layer.mlp, layer.post_feedforward_layernorm = Imitation(transcoder, index, coming), nn.Identity()
    return ReplacementModel(network, random_tokenizer(), transcoder, name=f"linear {kind}")
