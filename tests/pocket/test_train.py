"""The whole training, in miniature: it runs, writes what is shipped, and gives the same bits twice."""

from pathlib import Path

from gemma_circuits import pocket
from gemma_circuits.pocket import train

TINY = ["--steps", "2", "--dictionary-steps", "2", "--sentences", "40", "--held-out", "40", "--swaps", "4"]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_miniature_training_twice(tmp_path, capsys):
    for name in ("one", "two"):
        train.main(["--out", str(tmp_path / name), *TINY])
    assert "held out" in capsys.readouterr().out
    one, two = _files(tmp_path / "one"), _files(tmp_path / "two")
    assert one == two
    assert set(one) == {name for name in _files(pocket.WEIGHTS) if not name.startswith("features/")}
