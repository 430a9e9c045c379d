"""The notebooks as they lie in git: stripped, one parameters cell, a sentence before each code cell."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ccutils.chain.profiles import declared_parameters

FOLDER = Path(__file__).parents[2] / "notebooks"
CHAIN = ["00_start_here", "01_minimal_model", "01b_phase_diagrams", "02_contexts", "03_ic_train", "04_probes"]
CHAIN += ["05_figures"]
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_LINES = 15


def read(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def test_the_chain_is_there() -> None:
    assert set(CHAIN) <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_outputs_are_stripped(self, path: Path) -> None:
        for cell in code_cells(path):
            assert not cell.outputs, f"strip the outputs: nbstripout {path}"
            assert cell.execution_count is None, f"strip the execution counts: nbstripout {path}"

    def test_one_parameters_cell_with_results(self, path: Path) -> None:
        tagged = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
        assert len(tagged) == 1
        assert tagged[0].source == code_cells(path)[1].source, "parameters come first, but for Colab's cell"
        assert "results" in declared_parameters(path)

    def test_a_sentence_comes_before_each_code_cell(self, path: Path) -> None:
        cells = read(path).cells
        assert cells[0].cell_type == "markdown"
        assert cells[0].source.startswith("# ")
        for before, cell in pairwise(cells):
            if cell.cell_type == "code":
                assert before.cell_type == "markdown", f"nothing is said before:\n{cell.source}"

    def test_cells_are_short(self, path: Path) -> None:
        """But for the parameters, which are as many as they are, each with its reason."""
        for cell in code_cells(path)[2:]:
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert len(lines) <= MOST_LINES, f"{len(lines)} lines, more than {MOST_LINES}:\n{cell.source}"

    def test_it_opens_with_any_python_kernel(self, path: Path) -> None:
        assert dict(read(path).metadata["kernelspec"])["name"] == "python3"
