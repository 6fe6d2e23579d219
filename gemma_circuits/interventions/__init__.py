"""Interventions: change features, errors or directions on a prompt, and see what the model does."""

from .effect import Effect
from .generation import Generation, generate
from .sweeps import Sweep, sweep
from .values import Ablate, Add, Intervention, Patch, Set, Steer
from .verbs import intervene

__all__ = [
    "Ablate",
    "Add",
    "Effect",
    "Generation",
    "Intervention",
    "Patch",
    "Set",
    "Steer",
    "Sweep",
    "generate",
    "intervene",
    "sweep",
]
