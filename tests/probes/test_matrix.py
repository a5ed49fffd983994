"""The table of what holds under what is the one in the docs, and every cell's test is there."""

import ast
from pathlib import Path

import pytest
from matrix import MODES, PAGE, page_with

HERE = Path(__file__).parent
CELLS = sorted({(cell.file, cell.test) for mode in MODES for cell in mode.cells.values()})


def test_the_docs_show_the_matrix_as_it_is():
    assert PAGE.read_text() == page_with(PAGE.read_text()), "run python tests/support/matrix.py"


@pytest.mark.parametrize(("file", "test"), CELLS)
def test_every_cell_names_a_test_that_asserts(file, test):
    tree = ast.parse((HERE / file).read_text())
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == test]
    assert len(found) == 1
