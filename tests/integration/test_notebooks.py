"""The form of the notebooks in git, and how they read their parameters."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

from ccutils.chain.profiles import declared_parameters, load_parameters

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_LINES = 15


def read(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_outputs_are_stripped(self, path: Path) -> None:
        for cell in code_cells(path):
            assert not cell.outputs and cell.execution_count is None, f"strip the outputs: nbstripout {path}"

    def test_parameters_follow_the_setup_and_include_results(self, path: Path) -> None:
        tagged = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
        assert [cell.source for cell in tagged] == [code_cells(path)[1].source]
        assert "results" in declared_parameters(path)

    def test_it_begins_with_a_title(self, path: Path) -> None:
        assert read(path).cells[0].source.startswith("# ")

    def test_cells_are_short_except_for_setup_and_parameters(self, path: Path) -> None:
        for cell in code_cells(path)[2:]:
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert len(lines) <= MOST_LINES, f"{len(lines)} lines, more than {MOST_LINES}:\n{cell.source}"

    def test_it_opens_with_any_python_kernel(self, path: Path) -> None:
        assert dict(read(path).metadata["kernelspec"])["name"] == "python3"


class TestLoadParameters:
    NAME = "03_ic_train"
    DECLARED = declared_parameters(FOLDER / f"{NAME}.ipynb")

    def test_without_a_profile_the_variables_of_the_notebook_are_the_parameters(self) -> None:
        args = load_parameters(self.NAME, {**self.DECLARED, "k": 3, "other": 1})
        assert vars(args) == {**self.DECLARED, "k": 3}

    def test_the_values_of_a_profile_replace_them(self, capsys: pytest.CaptureFixture[str]) -> None:
        args = load_parameters(self.NAME, {**self.DECLARED, "profile": "smollm2", "k": 3})
        assert (args.model, args.k, args.strategy) == ("smollm2", 4, self.DECLARED["strategy"])
        assert "k = 4" in capsys.readouterr().out

    def test_a_notebook_beside_the_kernel_comes_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cell = nbformat.v4.new_code_cell("mine = 1", metadata={"tags": ["parameters"]})
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{self.NAME}.ipynb")
        monkeypatch.chdir(tmp_path)
        assert vars(load_parameters(self.NAME, {"mine": 2, "profile": ""})) == {"mine": 2}
