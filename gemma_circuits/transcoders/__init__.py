"""Dictionaries of features: opened lazily from every released layout, written back to any of them."""

from .catalogue import Catalogue, catalogue, recommended
from .convert import convert
from .open import open_transcoder
from .protocol import Active, Kind, Site, Transcoder
from .stored import Layer, StoredTranscoder
from .weights import fingerprint

__all__ = [
    "Active",
    "Catalogue",
    "Kind",
    "Layer",
    "Site",
    "StoredTranscoder",
    "Transcoder",
    "catalogue",
    "convert",
    "fingerprint",
    "open_transcoder",
    "recommended",
]
