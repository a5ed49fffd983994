"""docs/strategies.md: every strategy is on it, and it is what the records say today."""

from pathlib import Path

from depthscope.sample_runs import STRATEGIES
from depthscope.sample_runs.listing import listing, main

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
        assert "──" in section or "x' = " in section, name


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    assert PAGE.read_text(encoding="utf-8") == listing()  # else run the command named on it
    assert main([str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == listing()
    assert main([]) == 2
