"""Faithfulness: does the model do what its graph says?"""

from .report import Faithfulness
from .verb import faithfulness

__all__ = ["Faithfulness", "faithfulness"]
