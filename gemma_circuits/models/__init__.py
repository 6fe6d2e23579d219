"""Language models: how to open one, what one forward pass yields, and the weights that linear paths pass through."""

from .capture import Capture, read_scale
from .loading import MismatchWarning, load
from .memory import free_memory
from .opened import traced_on
from .prompt import Prompt, PromptLike
from .replacement import LayerWeights, ReplacementModel

__all__ = [
    "Capture",
    "LayerWeights",
    "MismatchWarning",
    "Prompt",
    "PromptLike",
    "ReplacementModel",
    "free_memory",
    "load",
    "read_scale",
    "traced_on",
]
