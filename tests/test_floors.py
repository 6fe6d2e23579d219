"""A floor of the package imports only lower floors; see `FLOORS`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gemma_circuits

FLOORS = {
    "data": 0,
    "transcoders": 1,
    "models": 2,
    "pocket": 2,
    "attribution": 3,
    "interventions": 4,
    "features": 5,
    "figures": 5,
    "ui": 6,
    "cli": 7,
}
ONLY = {"nnsight": {"models"}, "anywidget": {"ui"}, "ipywidgets": {"ui"}}
"""Libraries that only these may import."""
NEVER = {"data": {"transformers"}}
"""Libraries that these may not import."""
DOOR = "the door"


def violations(package: Path) -> list[str]:
    """What breaks the rules in the package at this folder; `__init__.py` there is the door, and free."""
    found = []
    for path in sorted(package.iterdir()):
        if path.name == "__pycache__" or (path.is_file() and (path.suffix != ".py" or path.stem == "__init__")):
            continue
        if path.stem not in FLOORS:
            found.append(f"{path.name}: has no floor")
            continue
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            place = file.relative_to(package).as_posix()
            found += [f"{place}: imports {name}" for name in imported(file, package) if not allowed(path.stem, name)]
    return found


def allowed(home: str, name: str) -> bool:
    """Whether a module under `home` may import `name`: a floor, the door, or a library."""
    if name in FLOORS:
        return name == home or FLOORS[name] < FLOORS[home]
    return name != DOOR and home in ONLY.get(name, {home}) and name not in NEVER.get(home, ())


def imported(file: Path, package: Path) -> Iterator[str]:
    """Floors, libraries and `DOOR` that a module imports, anywhere in it."""
    here = [package.name, *file.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for top, *rest in names:
            if top != package.name:
                yield top
            elif rest != ["__version__"]:
                yield rest[0] if rest and rest[0] in FLOORS else DOOR


def test_the_package_keeps_to_its_floors():
    assert violations(Path(gemma_circuits.__file__).parent) == []


@pytest.fixture
def write(tmp_path):
    """Write modules of a made-up package and give its violations."""

    def write(modules: dict[str, str]) -> list[str]:
        package = tmp_path / "gemma_circuits"
        for name, text in modules.items():
            file = package / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return violations(package)

    return write


def test_what_is_right_passes(write):
    package = (
        "import torch\nfrom ..data.errors import X\nfrom . import b\nfrom .b import c\nimport gemma_circuits.data\n"
    )
    assert not write(
        {
            "data/graph": "import torch, numpy",
            "models/a": f"{package}import nnsight.x\nfrom .. import __version__\nfrom ..transcoders import Y",
            "models/deep/a": "from ...transcoders import Y\nfrom ..a import Z",
            "ui/a": "import anywidget\nfrom ipywidgets import Y\nfrom ..figures import Z\nfrom .. import attribution",
            "cli": "from . import __version__, attribution\nfrom .ui import show",
        }
    )


@pytest.mark.parametrize(
    "line, name",
    [
        ("from ..attribution import attribute", "attribution"),
        ("from ..attribution.verbs import attribute", "attribution"),
        ("from .. import attribution", "attribution"),
        ("import gemma_circuits.attribution.verbs as v", "attribution"),
        ("from gemma_circuits import attribution", "attribution"),
        ("from gemma_circuits.ui import show", "ui"),
        ("def f():\n    from ..attribution import attribute", "attribution"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli import main", "cli"),
        ("from ..pocket import MODEL", "pocket"),
        ("import gemma_circuits", DOOR),
        ("from gemma_circuits import load", DOOR),
        ("from .. import load", DOOR),
        ("import anywidget", "anywidget"),
        ("from ipywidgets.widgets import DOMWidget", "ipywidgets"),
    ],
)
def test_what_is_wrong_is_found(write, line, name):
    assert write({"models/a": line}) == [f"models/a.py: imports {name}"]


def test_libraries_have_their_place(write):
    assert write({"attribution/a": "import nnsight", "data/a": "from transformers import AutoModel"}) == [
        "attribution/a.py: imports nnsight",
        "data/a.py: imports transformers",
    ]


def test_floors_side_by_side_stay_apart(write):
    assert write({"features/a": "from ..figures import x", "figures/a": "from ..features import x"}) == [
        "features/a.py: imports figures",
        "figures/a.py: imports features",
    ]


def test_every_folder_and_module_needs_a_floor(write):
    assert write({"helpers/a": "", "utils": ""}) == ["helpers: has no floor", "utils.py: has no floor"]


def test_the_door_is_free(write):
    assert not write({"__init__": "from .attribution import attribute\nimport nnsight"})
