"""Attribution: targets, the linear backward pass, and the `attribute` verb."""

from .attribute import Estimate, attribute, estimate
from .targets import Direction, LogitDifference

__all__ = ["Direction", "Estimate", "LogitDifference", "attribute", "estimate"]
