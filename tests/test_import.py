"""The door of the package: light to open, complete, and of one version."""

import subprocess
import sys
import tomllib
from inspect import isfunction
from pathlib import Path

import pytest

import gemma_circuits as gmc

HEAVY = {"torch", "transformers", "nnsight", "numpy", "plotly", "anywidget", "IPython"}


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `code`."""
    code += "\nimport sys; print(*sys.modules, file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stderr.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import gemma_circuits",
        "import gemma_circuits; dir(gemma_circuits)",
        "from gemma_circuits.cli import main; main(['--help'])",
        "from gemma_circuits.cli import main; main(['attribute', '--help'])",
    ],
)
def test_nothing_heavy_is_imported(code):
    assert not modules_after(code) & HEAVY


def test_heavy_modules_come_with_first_use():
    assert "torch" in modules_after("import gemma_circuits; gemma_circuits.Graph")


def test_the_pocket_model_opens_without_its_network():
    heavy = modules_after("import gemma_circuits; gemma_circuits.load()") & {
        "transformers",
        "nnsight",
        "huggingface_hub",
    }
    assert not heavy


def test_every_public_name_resolves():
    assert sorted(gmc.__all__) == list(gmc.__all__)
    assert set(gmc.__all__) <= set(dir(gmc))
    assert all(getattr(gmc, name) is not None for name in gmc.__all__)


@pytest.mark.parametrize("name", ["attribute", "catalogue", "convert", "estimate", "load"])
def test_verbs_are_functions_and_not_modules_of_that_name(name):
    assert isfunction(getattr(gmc, name))


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'atribute'"):
        _ = gmc.atribute  # pyright: ignore[reportAttributeAccessIssue]


def test_one_version():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert gmc.__version__ == project["version"]
