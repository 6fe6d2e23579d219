"""Train and write the pocket model's dictionaries: a cross-layer transcoder, a per-layer one, and one with a skip.

One trainer for the three. All layers are trained at once; what differs is which layers a layer writes to and
whether an affine skip stands beside the features. Inputs and outputs are scaled to unit mean norm for training
and the scales folded into the weights at the end, so that the files read and write what the model has there:
`pre_feedforward_layernorm.output` in, `post_feedforward_layernorm.output` out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

BANDWIDTH = 0.1
"""Width of the window around the threshold in which its straight-through gradient is seen."""


class _Step(torch.autograd.Function):
    """`pre > threshold` as 0 or 1; straight-through gradient within the bandwidth (Rajamanoharan et al. 2024)."""

    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        pre, threshold = ctx.saved_tensors
        near = grad * ((pre - threshold).abs() < BANDWIDTH / 2) / BANDWIDTH
        return near, -near.sum(-2, keepdim=True)


@dataclass(frozen=True)
class Plan:
    """What to train."""

    cross_layer: bool
    """True: layer l writes to every layer from l on; False: to its own alone."""
    affine: bool
    """Whether `x @ A` is added to each layer's output."""
    width: int = 512
    """Features in each layer."""
    targets: tuple[float, ...] = (9, 7, 5, 12.5, 13, 13)
    """Features active at a position, wanted of each layer."""
    steps: int = 1500
    batch: int = 512
    """Positions in a step."""
    lr: float = 2e-3
    sparsity: float = 0.1
    """Final weight of the squared relative deviation of L0 from its target; grows over the first half."""
    seed: int = 0


@dataclass(frozen=True)
class Dictionary:
    """The tensors of one dictionary over all `L` layers, `F` features each, in the model's own units, float32."""

    w_enc: Tensor
    """(L, d, F)"""
    w_dec: Tensor
    """(L, F, L, d): from layer, feature, to layer; zero where the feature does not write."""
    b_enc: Tensor
    """(L, F)"""
    b_dec: Tensor
    """(L, d): of the layer written."""
    threshold: Tensor
    """(L, F), never negative"""
    affine: Tensor | None
    """(L, d, d), used as `x @ affine`, or None."""

    def encode(self, x: Tensor, layer: int) -> Tensor:
        """Activations (..., F) of what layer `layer` reads (..., d)."""
        pre = x @ self.w_enc[layer] + self.b_enc[layer]
        return pre.relu() * (pre > self.threshold[layer])

    def decode(self, activations: list[Tensor], x: Tensor, layer: int) -> Tensor:
        """Output (..., d) at `layer` from the activations of layers 0 to `layer` and its own input, for the skip."""
        y = self.b_dec[layer] + sum(a @ self.w_dec[k, :, layer] for k, a in enumerate(activations[: layer + 1]))
        return y if self.affine is None else y + x @ self.affine[layer]


def train(x: Tensor, y: Tensor, plan: Plan, log: int = 0) -> Dictionary:
    """Fit a dictionary to MLP inputs and outputs `(L, N, d)`.

    The loss is unexplained variance, summed over layers, plus a quadratic penalty on L0 around its target, plus a
    small pull on features that are far below their threshold.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    n_layers, n, d = x.shape
    in_scale, out_scale = (t.square().sum(-1).mean(-1).sqrt()[:, None, None] for t in (x, y))
    x, y = x / in_scale, y / out_scale
    mean = y.mean(1, keepdim=True)
    spread = (y - mean).square().sum(-1).mean(-1)  # (L,)

    # Encoders start as centred examples, decoders at random and small.
    rows = torch.stack([x[k, torch.randint(n, (plan.width,), generator=generator)] for k in range(n_layers)])
    w_enc = functional.normalize(rows - x.mean(1, keepdim=True), dim=-1).transpose(1, 2).contiguous()
    reach = [n_layers - k if plan.cross_layer else 1 for k in range(n_layers)]
    w_dec = [torch.randn(plan.width, r * d, generator=generator) * (0.1 / (r * d) ** 0.5) for r in reach]
    b_enc, b_dec = torch.zeros(n_layers, 1, plan.width), mean.clone()
    threshold = torch.full((n_layers, 1, plan.width), 0.1)
    affine = torch.zeros(n_layers, d, d)
    learned = [w_enc, *w_dec, b_enc, b_dec, threshold] + [affine] * plan.affine
    for parameter in learned:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(learned, lr=plan.lr, betas=(0.9, 0.999))
    targets = torch.tensor(plan.targets)

    for step in range(plan.steps):
        done = step / plan.steps
        for group in optimizer.param_groups:  # a short climb, then down to nothing over the last two fifths
            group["lr"] = plan.lr * min(1.0, step / 50 + 0.02, (1 - done) / 0.4)
        index = torch.randint(n, (plan.batch,), generator=generator)
        xb, yb = x[:, index], y[:, index]
        pre = xb @ w_enc + b_enc
        gate = _Step.apply(pre, threshold)
        active = pre.relu() * gate
        out = [b_dec[m] for m in range(n_layers)]
        for k in range(n_layers):
            for m, part in enumerate((active[k] @ w_dec[k]).split(d, dim=-1), start=k):
                out[m] = out[m] + part
        out = torch.stack(out)
        if plan.affine:
            out = out + xb @ affine
        unexplained = (out - yb).square().sum(-1).mean(-1) / spread
        l0 = gate.sum(-1).mean(-1)
        norms = torch.stack([w.detach().norm(dim=1) for w in w_dec])[:, None]
        dead = (functional.relu(threshold - pre) * norms).sum(-1).mean()
        weight = plan.sparsity * min(1.0, 2 * done)
        loss = unexplained.sum() + weight * (l0 / targets - 1).square().sum() + 3e-6 * dead
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        threshold.data.clamp_(min=0.0)
        if log and (step + 1) % log == 0:
            figures = ", ".join(f"{u:.3f} at {a:.1f}" for u, a in zip(unexplained.tolist(), l0.tolist(), strict=True))
            print(f"step {step + 1}: unexplained at L0, by layer: {figures}", flush=True)

    full = torch.zeros(n_layers, plan.width, n_layers, d)
    for k, w in enumerate(w_dec):
        full[k, :, k : k + reach[k]] = w.detach().unflatten(1, (reach[k], d))
    return Dictionary(
        w_enc=w_enc.detach() / in_scale,
        w_dec=full * out_scale[:, 0],
        b_enc=b_enc.detach()[:, 0],
        b_dec=(b_dec.detach() * out_scale)[:, 0],
        threshold=threshold.detach()[:, 0],
        affine=affine.detach() / in_scale * out_scale if plan.affine else None,
    )
