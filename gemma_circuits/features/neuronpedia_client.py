"""Ask Neuronpedia for labels, only when told to; what it said is kept on disk."""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import platformdirs
from huggingface_hub import is_offline_mode

from ..attribution.progress import Progress
from ..data.errors import ArgumentError, FeatureError, RemoteError, StorageError
from ..data.files import replace_file
from ..transcoders.neuronpedia import neuronpedia_source
from .dashboards import Dashboard
from .exchange import ImportCount, import_features
from .feature_folders import BAD, dump, inflate, parse
from .neuronpedia_batches import from_row
from .store import Store

URL = "https://www.neuronpedia.org"
_PASSING = {429, 500, 502, 503, 504}
"""Answers that another try may improve."""
_PATIENCE = 60.0
"""The longest wait, in seconds, that a server may ask for."""


class NeuronpediaClient:
    """Neuronpedia's API for features: one request at a time, slowly, each answer kept.

    To make one asks nothing of anybody; `dashboard` does, unless it has the answer on disk, or `HF_HUB_OFFLINE` is
    set. For many features their exports are the better way (`import_features`).

    Args:
        url: the server.
        cache: folder for answers; by default in the user's cache folder.
        interval: least number of seconds between two requests.
        timeout: seconds to wait for an answer.
        retries: how often to try again after no answer, an overload or an error of the server.
        backoff: seconds before the first of these, twice as many before each further one.

    Example:
        >>> client = NeuronpediaClient()
        >>> client.dashboard("gemma-3-4b-it", "7-gemmascope-2-transcoder-16k", 12)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        url: str = URL,
        cache: str | PathLike[str] | None = None,
        interval: float = 1.0,
        timeout: float = 20.0,
        retries: int = 4,
        backoff: float = 1.0,
    ) -> None:
        self.url, self.interval, self.timeout, self.retries, self.backoff = url, interval, timeout, retries, backoff
        home = platformdirs.user_cache_path("gemma-circuits", appauthor=False) / "neuronpedia"
        self.cache = Path(cache) if cache is not None else home / (urlsplit(url).hostname or "other")
        self._lock = threading.Lock()
        self._next = 0.0

    def dashboard(self, model: str, source: str, feature: int) -> Dashboard:
        """What Neuronpedia shows of a feature, from disk if it was asked before.

        Args:
            model: Neuronpedia's id, such as "gemma-3-4b-it".
            source: its id of the dictionary at a layer, such as "7-gemmascope-2-transcoder-16k".
            feature: number in the layer.

        Raises:
            FeatureError: it shows no such feature.
            RemoteError: it cannot be reached, or answers something else; the remedy says what to do.
            ArgumentError: an id that cannot be one.
        """
        for name in (model, source):
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise ArgumentError("Neuronpedia id", expected="letters, digits, - . _", got=repr(name))
        layer, feature = _layer(source), int(feature)
        file = self.cache / model / source / f"{feature}.json.gz"
        try:
            return Dashboard.from_json(parse(inflate(file.read_bytes())), layer, feature)
        except (OSError, *BAD):
            pass  # not there, or damaged: ask
        address = f"{self.url.rstrip('/')}/api/feature/{model}/{source}/{feature}"
        answer = self._ask(address)
        try:
            value = parse(answer)
            if value is None:
                raise FeatureError(address, expected="a feature that Neuronpedia shows", got="null")
            found = from_row(value, layer, feature)
        except BAD as error:
            if isinstance(error, FeatureError):
                raise
            raise RemoteError(address, expected="a feature as JSON", got=f"{type(error).__name__}: {error}") from error
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, lambda temporary: temporary.write_bytes(gzip.compress(dump(found.to_json()), mtime=0)))
        except (OSError, StorageError):
            pass  # a full disk is no reason to withhold the answer
        return found

    def _ask(self, address: str) -> bytes:
        if is_offline_mode():
            remedy = "unset it, or download Neuronpedia's export and use import_features"
            raise RemoteError(address, got="HF_HUB_OFFLINE is set", remedy=remedy)
        with self._lock, httpx2.Client(timeout=self.timeout, headers={"User-Agent": _agent()}) as client:
            problem = ""
            for attempt in range(self.retries + 1):
                time.sleep(max(0.0, self._next - time.monotonic()))
                self._next = time.monotonic() + self.interval
                wait = self.backoff * 2**attempt
                try:
                    answer = client.get(address)
                except httpx2.HTTPError as error:
                    problem = f"{type(error).__name__}: {error}"
                else:
                    if answer.status_code == httpx2.codes.OK:
                        return answer.content
                    if answer.status_code == httpx2.codes.NOT_FOUND:
                        raise FeatureError(address, expected="a feature that Neuronpedia shows", got="404")
                    problem = f"{answer.status_code} {answer.reason_phrase}"
                    if answer.status_code not in _PASSING:
                        break
                    wait = max(wait, _seconds(answer.headers.get("Retry-After")))
                    if wait > _PATIENCE:
                        problem += f", wait {wait:.0f} s"
                        break
                self._next = max(self._next, time.monotonic() + wait)
        raise RemoteError(
            address,
            expected="an answer",
            got=problem,
            remedy="try later; for many features download Neuronpedia's export and use import_features",
        )


def fetch_labels(
    store: Store,
    features: Iterable[tuple[int, int]],
    *,
    client: NeuronpediaClient | None = None,
    model: str | None = None,
    source_set: str | None = None,
    progress: bool = True,
) -> ImportCount:
    """Ask Neuronpedia for these features, and import what it shows; see `import_features`.

    This sends requests to the server, one for each feature that was not asked for before. Features that Neuronpedia
    does not show are left out.

    Args:
        store: where to put the labels.
        features: (layer, feature) of each.
        client: with other settings than the usual.
        model: Neuronpedia's id of the model; by default found by the store's transcoder.
        source_set: its name of the dictionary, without the layer; likewise.
        progress: show a bar.

    Raises:
        ArgumentError: no ids given, and the dictionary is not known to be shown there.
        RemoteError: see `NeuronpediaClient.dashboard`; what came before it is in the store.
        FeatureError: a feature that the dictionary does not have.

    Example:
        >>> fetch_labels(store, [(7, 12)])  # doctest: +SKIP
        ImportCount(features=1, labels=1)
    """
    client = client or NeuronpediaClient()
    places = [store.place(*place) for place in features]
    sources = {}
    for layer in sorted({layer for layer, _ in places}):
        shown = neuronpedia_source(store.transcoder, layer)
        if model and source_set:
            shown = model, f"{layer}-{source_set}"
        if shown is None:
            raise ArgumentError(
                f"{store.transcoder}, layer {layer}",
                expected="a dictionary that Neuronpedia shows",
                remedy="pass its ids there as model and source_set",
            )
        sources[layer] = shown
    features_in = labels_in = 0
    for layer, feature in Progress(progress).steps(places, "asking Neuronpedia"):
        try:
            found = client.dashboard(sources[layer][0], sources[layer][1], feature)
        except FeatureError:
            continue
        count = import_features(store, [found], where="neuronpedia", progress=False)
        features_in, labels_in = features_in + count.features, labels_in + count.labels
    return ImportCount(features_in, labels_in)


def _layer(source: str) -> int:
    layer = source.partition("-")[0]
    if not layer.isdecimal():
        raise ArgumentError("Neuronpedia source", expected="a layer in front, such as 7-gemmascope", got=repr(source))
    return int(layer)


def _seconds(text: str | None) -> float:
    """`Retry-After` in seconds; dates, which it may hold too, count as nothing."""
    return float(text) if text and text.isdecimal() else 0.0


def _agent() -> str:
    try:
        return f"gemma-circuits/{version('gemma-circuits')}"
    except PackageNotFoundError:
        return "gemma-circuits"
