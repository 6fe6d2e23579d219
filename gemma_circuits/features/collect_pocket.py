"""Collect the store that ships with the pocket model: `python -m gemma_circuits.features.collect_pocket`.

To be run again when the model's weights or its corpus change.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from ..models import ReplacementModel, load
from ..pocket import corpus as pocket
from ..pocket.teach import encode
from . import schema, shards
from .collecting import collect
from .location import SHIPPED

DRAWN = {"unknown": 0, "copy": 500, "chat": 500}
"""Texts drawn of families that are all alike, or, as the unknown words, stand for none; of the others all are taken."""
SETTINGS: dict[str, Any] = {"context": 32, "window": 16, "examples": 5, "quantiles": 4, "samples": 1}


def corpus(model: ReplacementModel) -> list[list[int]]:
    """Token ids of sentences from every family, as in training but without the token that ends them."""
    drawn = random.Random(0)
    texts = []
    for family, members in pocket.texts().items():
        texts += drawn.sample(members, DRAWN.get(family, len(members)))
    drawn.shuffle(texts)
    return [prompt + answer[:-1] for prompt, answer in (encode(text, model.tokenizer) for text in texts)]


def main() -> None:
    """Collect, pack, and put the result in the place of the shipped store."""
    model = load(device="cpu", dtype="float32")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "features"
        store = collect(model, corpus(model), folder, **SETTINGS)
        print(store)
        store.close()
        with closing(sqlite3.connect(folder / schema.FILE)) as database:
            database.execute("PRAGMA journal_mode = DELETE")  # a reader of the packaged file can write no log beside it
            database.execute("VACUUM")
        shutil.rmtree(SHIPPED, ignore_errors=True)
        (SHIPPED / shards.FOLDER).mkdir(parents=True)
        for path in (folder / schema.FILE, *(folder / shards.FOLDER).iterdir()):
            shutil.copyfile(path, SHIPPED / path.relative_to(folder))
    print(f"{sum(path.stat().st_size for path in SHIPPED.rglob('*') if path.is_file()):,} bytes in {SHIPPED.name}")


if __name__ == "__main__":
    main()
