"""docs/strategies.md: every strategy is on it, and it is what the records say today."""

from pathlib import Path

import pytest

from depthscope.sample_runs import STRATEGIES
from depthscope.sample_runs.listing import files, listing, main

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"


def test_every_strategy_is_listed_with_its_drawing_and_source() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for strategy in STRATEGIES.values():
        assert f"| `{strategy.name}` | {strategy.title} | `{strategy.flow}` |" in page
        assert strategy.source in page
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    for name in STRATEGIES:
        (heading,) = [line for line in headings if f"`{name}`" in line]
        section = page.split(heading)[1].split("\n## ")[0]
        assert "──" in section, name


@pytest.mark.parametrize("name", STRATEGIES)
def test_lines_of_a_drawing_meet(name: str) -> None:
    """What turns up or down has something to turn to, in the line above or below."""
    (module, _) = next(file for file in files() if name in {strategy.name for strategy in file[1]})
    lines = ["", *(module.__doc__ or "").split("\n"), ""]
    up, down = set("└┘┴┤├┼│"), set("┌┐┬┤├┼│")
    for above, line, below in zip(lines, lines[1:], lines[2:], strict=False):
        for column, mark in enumerate(line):
            if mark in up:
                assert above[column : column + 1] in down | {"+"}, (line, column)
            if mark in down:
                assert below[column : column + 1] in up | {"+"}, (line, column)


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    assert PAGE.read_text(encoding="utf-8") == listing()  # else run the command named on it
    assert main([str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == listing()
    assert main([]) == 2
