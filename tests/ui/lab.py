"""A real JupyterLab in a real Chromium, for tests and screenshots."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
from playwright.sync_api import Browser, Error, Locator, Page, Playwright

SECONDS = 1000
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
]


def start_chromium(playwright: Playwright) -> Browser:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium here: apt-get install chromium"
    return playwright.chromium.launch(executable_path=path, headless=True, args=CHROMIUM_ARGUMENTS)


class Lab:
    """A JupyterLab server with settings of its own, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "notebooks"
        self.folder.mkdir(parents=True)
        settings = folder / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": "JupyterLab Light"}))
        own = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
        folders = {f"JUPYTER{'' if name.startswith('LAB') else '_'}{name}": name for name in own}
        folders |= {name: name for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "IPYTHONDIR")}
        folders = {key: str(folder / key) for key in folders}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = folder / "log"
        flags = [
            "--no-browser",
            "--allow-root",
            "--expose-app-in-browser",
            "--IdentityProvider.token=token",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            f"--ServerApp.root_dir={self.folder}",
        ]
        with self.log.open("w") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *flags],
                env=os.environ | folders | {"HF_HUB_OFFLINE": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def open(self, page: Page, cells: Sequence[str], name: str) -> Notebook:
        """A new notebook of these code cells in `page`, its kernel idle, nothing run."""
        nodes = [nbformat.v4.new_code_cell(cell) for cell in cells]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=nodes, metadata=kernel), self.folder / f"{name}.ipynb")
        return self.open_file(page, f"{name}.ipynb")

    def open_file(self, page: Page, name: str) -> Notebook:
        """A notebook that lies in the server's folder."""
        address, until = f"http://127.0.0.1:{self.port}/lab/tree/{name}?token=token&reset", time.monotonic() + 60
        while True:
            try:
                page.goto(address)
                break
            except Error:
                assert self.server.poll() is None and time.monotonic() < until, self.log.read_text()
                time.sleep(0.3)
        notebook = Notebook(page)
        notebook.wait_for_kernel()
        return notebook

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(20)


class Notebook:
    """What a user does in an open notebook."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def wait_for_kernel(self) -> None:
        session = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session"
        self.page.wait_for_function(f"{session}?.kernel?.status === 'idle'", timeout=90 * SECONDS)

    def run(self) -> None:
        """Run all cells; none may fail."""
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
        self.page.wait_for_timeout(300)
        waiting = self.page.locator(".jp-InputPrompt", has_text="[*]")
        end = time.monotonic() + 180
        while waiting.count() and time.monotonic() < end:
            self.page.wait_for_timeout(100)
        error = self.page.locator(".jp-OutputArea-output.jp-mod-error, .jp-RenderedText[data-mime-type*='error']")
        assert not error.count(), error.first.text_content()
        assert not waiting.count(), "a cell runs for ever"

    def kernel(self, expression: str) -> Any:
        """The value of a Python expression in the kernel, through JSON."""
        answer = self.page.evaluate(
            """async (code) => {
                const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const ask = {code: '', user_expressions: {value: code}, store_history: false};
                const reply = await kernel.requestExecute(ask).done;
                return reply.content.user_expressions.value;
            }""",
            f"__import__('json').dumps({expression})",
        )
        assert answer["status"] == "ok", answer
        text = answer["data"]["text/plain"]
        return json.loads(eval(text))  # the repr of a str

    def execute(self, code: str) -> None:
        """Run code in the kernel, outside of any cell."""
        status = self.page.evaluate(
            """async (code) => {
                const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                return (await kernel.requestExecute({code}).done).content;
            }""",
            code,
        )
        assert status["status"] == "ok", status

    def restart(self) -> None:
        """A fresh kernel."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        self.wait_for_kernel()

    def kill(self) -> None:
        """The kernel dies at once; the server starts another."""
        self.page.evaluate(
            """() => {
                const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                window.gcSeen = [];
                kernel.statusChanged.connect((_, status) => window.gcSeen.push(status));
                kernel.requestExecute({code: "import os; os.kill(os.getpid(), 9)"});
            }"""
        )
        self.page.wait_for_function("window.gcSeen.some((s) => s.includes('restarting'))", timeout=60 * SECONDS)
        self.wait_for_kernel()
        dialog = self.page.locator(".jp-Dialog button.jp-mod-accept")
        if dialog.count():  # that the kernel died
            dialog.first.click()

    def until(self, expression: str, seconds: float = 10) -> None:
        """Wait until a Python expression in the kernel is true; a click's message may not have landed yet."""
        end = time.monotonic() + seconds
        while not self.kernel(f"bool({expression})"):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.05)

    def output(self, cell: int) -> Locator:
        """The output area of a code cell."""
        return self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output").first

    def theme(self, dark: bool) -> None:
        name = f"JupyterLab {'Dark' if dark else 'Light'}"
        self.page.evaluate(
            "(name) => { jupyterapp.commands.execute('apputils:change-theme', {theme: name}) }",
            name,
        )
        self.page.wait_for_selector(f'body[data-jp-theme-light="{str(not dark).lower()}"]', state="attached")
        self.page.wait_for_timeout(800)  # until its style sheet is in force and canvases are redrawn


def outside(requests: Sequence[str], port: int) -> list[str]:
    """Addresses among these that are not on the page's own server."""
    own = {f"127.0.0.1:{port}", f"localhost:{port}"}
    return [url for url in requests if not url.startswith(("data:", "blob:")) and urlsplit(url).netloc not in own]
