"""Interventions: change features, errors or directions on a prompt, and see what the model does."""

from .effect import Effect
from .faithfulness import Faithfulness, faithfulness
from .generation import Generation, generate
from .swaps import Rate, Swap, SwapCase, Swaps, swap
from .sweeps import Sweep, sweep
from .values import Ablate, Add, Intervention, Patch, Set, Steer
from .verbs import intervene

__all__ = [
    "Ablate",
    "Add",
    "Effect",
    "Faithfulness",
    "Generation",
    "Intervention",
    "Patch",
    "Rate",
    "Set",
    "Steer",
    "Swap",
    "SwapCase",
    "Swaps",
    "Sweep",
    "faithfulness",
    "generate",
    "intervene",
    "swap",
    "sweep",
]
