"""Attribution: targets, the linear backward pass, and the `attribute` verb."""

from .targets import Direction, LogitDifference
from .verbs import Estimate, attribute, estimate

__all__ = ["Direction", "Estimate", "LogitDifference", "attribute", "estimate"]
