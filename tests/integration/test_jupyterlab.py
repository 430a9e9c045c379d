"""Run every notebook in JupyterLab in a real browser: no error, charts fit the page, sliders redraw charts.

Slow; needs Chromium and `pip install playwright` (without its own browsers).
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import papermill
import pytest

from ccutils.chain.profiles import declared_parameters, read_profile
from ccutils.records import write_json

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
TRACKER = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
WIDTH = 1100  # maximum width of a chart in pixels
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium")]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_in_jupyterlab_and_its_charts_fit(lab: str, page: Any, name: str) -> None:
    run_all(page, lab, name)
    widths = page.evaluate(CHARTS)
    assert all(width <= WIDTH for width in widths), widths
    assert widths or name in {"00_start_here", "06_your_task", "07_your_trainer"}
    if name in {"01_minimal_model", "02_contexts"}:
        assert move_slider(page) < 10


def test_a_changed_parameter_changes_the_charts(lab: str, page: Any) -> None:
    run_all(page, lab, "02_contexts")
    before = page.evaluate(DRAWN)
    assert before and run_again(page) == before
    assert page.evaluate(CHANGE, ["k = 3", "k = 2"])
    assert run_again(page) not in ("", before)


def run_again(page: Any) -> str:
    """Clear the outputs of the open notebook, run all its cells, and return its charts."""
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    assert page.evaluate(STATE)["waiting"]
    run_cells(page, "the notebook")
    return str(page.evaluate(DRAWN))


STATE = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  if (!panel?.sessionContext?.session?.kernel) return null;
  const cells = [...panel.content.widgets].filter(c => c.model.type === 'code');
  const of = c => [...Array(c.model.outputs.length).keys()].map(i => c.model.outputs.get(i).toJSON());
  return {
    status: panel.sessionContext.session.kernel.status,
    waiting: cells.filter(c => c.model.sharedModel.source.trim() && !c.model.executionCount).length,
    errors: cells.flatMap(of).filter(o => o.output_type === 'error').map(o => `${o.ename}: ${o.evalue}`),
  };
}"""
CHANGE = """([before, after]) => {
  const cells = [...window.jupyterapp.shell.currentWidget.content.widgets].map(c => c.model.sharedModel);
  const given = cells.find(c => c.source.startsWith('# Parameters'));
  const found = given.source.includes(before);
  given.setSource(given.source.replace(before, after));
  return found;
}"""
CHARTS = """() => [...document.querySelectorAll('.jp-OutputArea-output :is(svg, img, canvas)')]
  .filter(e => e.closest('.jp-OutputArea-output').offsetParent)
  .map(e => e.getBoundingClientRect()).filter(b => b.width > 100).map(b => Math.round(b.width))"""
DRAWN = "() => [...document.querySelectorAll('.jp-OutputArea-output svg')].map(e => e.outerHTML).join('')"


def run_all(page: Any, lab: str, name: str) -> None:
    """Open a notebook and run all its cells. Fails at the first error."""
    page.goto(f"{lab}/lab/tree/notebooks/{name}.ipynb?reset")
    page.wait_for_function(f"() => ['idle', 'unknown'].includes(({STATE})()?.status)")
    run_cells(page, name)


def run_cells(page: Any, name: str) -> None:
    """Run all cells of the open notebook and wait until the last has run."""
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
    until, state = time.monotonic() + 900, None
    while time.monotonic() < until:
        time.sleep(2)
        state = page.evaluate(STATE)
        assert not state["errors"], state["errors"][0]
        if not state["waiting"] and state["status"] == "idle":
            return
    pytest.fail(f"{name} did not finish: {state}")


def move_slider(page: Any) -> float:
    """Press a key on the last slider of the page and return the seconds until its chart changes."""
    slider = page.locator(".jp-OutputArea-output .noUi-handle").last
    slider.scroll_into_view_if_needed()
    before = page.evaluate(DRAWN)
    slider.focus()
    start = time.monotonic()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"before => ({DRAWN})() !== before", arg=before)
    return time.monotonic() - start


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a copy of the repository, its notebooks with the parameters of `smoke`, and yield the address."""
    folder = tmp_path_factory.mktemp("lab")
    copy = folder / "repository"
    for part in ("ccutils", "notebooks", "data", "workflow"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    profile = read_profile(ROOT / "workflow" / "profiles" / "smoke.yaml", [])
    for path in sorted((copy / "notebooks").glob("*.ipynb")):
        given = {"task": "topics", "model": "tiny", "strategy": "contrastive", "seeds": [0]}
        results = {"results": str(copy / "results" / "try")} if "results" in declared_parameters(path) else {}
        values = {**profile.values(path.stem, **given), **results}
        papermill.execute_notebook(path, path, values, prepare_only=True, progress_bar=False)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.port=18888", "--allow-root"]
    command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    # By default JupyterLab does not draw cells outside the visible area.
    write_json(folder / "settings" / TRACKER, {"windowingMode": "none"})
    environment = {**os.environ, "PYTHONPATH": str(copy), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=copy, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for("http://localhost:18888", folder / "lab.log")
        yield "http://localhost:18888"
    finally:
        server.terminate()
        server.wait()


def wait_for(address: str, log: Path) -> None:
    """Wait until a server answers."""
    for _ in range(120):
        try:
            with urlopen(f"{address}/api", timeout=5) as reply:
                assert "version" in json.load(reply)
            return
        except OSError:
            time.sleep(1)
    pytest.fail(f"JupyterLab did not start: {log.read_text(errors='replace')[-1500:]}")


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """Open a browser page: WIDTH plus JupyterLab's side bars."""
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH + 420, "height": 900})
        page.set_default_timeout(300_000)
        yield page
        browser.close()
