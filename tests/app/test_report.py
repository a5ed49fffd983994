"""The report: one file, the same bytes every time, nothing from outside, and names that stay text."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest
from synthetic import make_store

from depthscope.app.report import NotWritable, Report, build, render, write_report
from depthscope.app.report.build import safe_json
from depthscope.app.report.render import policy
from depthscope.store import RunMissing, Store, run_table

BUDGET = 3_000_000  # bytes, for 8 runs of 48 layers


def names(store: Store) -> list[str]:
    return [str(run) for run in run_table(store)["run"]]


@pytest.fixture(scope="module")
def report(five) -> Report:
    return build(five, names(five))


@pytest.fixture(scope="module")
def html(report) -> str:
    return render(report)


@pytest.fixture
def built(report, monkeypatch):
    """Writing alone is tested: the report is built already."""
    monkeypatch.setattr("depthscope.app.report.write.build", lambda store, runs, progress, wishes: report)


class Page(HTMLParser):
    """The elements of a page, the text outside of scripts and styles, and what the page would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent -= tag in ("script", "style")

    def handle_data(self, data):
        self.text += "" if self._silent else data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_same_store_gives_the_same_bytes(five, html, tmp_path):
    told = []
    write_report(five, names(five), tmp_path / "a.html", lambda done, total: told.append((done, total)))
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == html
    assert told == [(i + 1, len(told)) for i in range(len(told))], "progress counts every figure"


def test_findings_come_first_and_every_section_is_there(html):
    page = Page(html)
    found = [str(attributes["id"]) for attributes in page.of("section")]
    assert found == [
        "findings",
        "loss",
        "comparison",
        "profiles",
        "heatmaps",
        "massive",
        "effectiveness",
        "sparsity",
        "settings",
        "definitions",
        "papers",
    ]
    links = [(attributes["href"] or "")[1:] for attributes in page.of("a")]
    assert set(links) == set(found)


def test_nothing_is_loaded_from_outside(html):
    page = Page(html)
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "data", "action", "background"} & set(attributes), tag
        assert (attributes.get("href") or "#").startswith("#")
    assert not page.of("link") and not page.of("iframe") and not page.of("base")
    assert "@import" not in html.partition("</style>")[0] and "url(" not in html.partition("</style>")[0]


def test_only_our_own_scripts_may_run(html):
    page = Page(html)
    csp = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 2 and csp == policy(scripts)
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in csp
    assert csp.startswith("default-src 'none'") and "connect-src 'none'" in csp and "'unsafe-eval'" not in csp
    others = [attributes for attributes in page.of("script") if attributes]
    assert others and all(attributes["type"] == "application/json" for attributes in others)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_plotly_keeps_its_licence(html):
    assert "plotly.js (cartesian - minified) v4.1.1" in html and "Licensed under the MIT license" in html
    notice = Path(__file__).parents[2] / "NOTICE"
    assert "plotly.js 4.1.1" in notice.read_text()


def test_every_figure_has_words_and_numbers(html):
    page = Page(html)
    plots = [attributes for attributes in page.of("div") if attributes.get("class") == "plot"]
    assert len(plots) > 20 and len({attributes["id"] for attributes in plots}) == len(plots)
    assert all(attributes["role"] == "group" and attributes["aria-label"] for attributes in plots)
    assert html.count("<figcaption>") == html.count("<details><summary>Numbers") == len(plots)
    assert len(page.of("caption")) >= len(plots)


def test_ids_are_unique(html):
    found = [attributes["id"] for _, attributes in Page(html).tags if "id" in attributes]
    assert len(found) == len(set(found))


def test_it_can_be_read_without_javascript(html, five):
    text = Page(html).text
    for run in names(five):
        assert run in text
    assert "Non-finite values start in the activation of layer 5" in text
    assert "Rule: any NaN or Inf" in text and "Step" in text


def test_only_the_chosen_runs_are_in_it(five):
    report = build(five, ["pre-0"])
    html = render(report)
    assert "pre-0" in html and "peri-0" not in html and report.omitted == 4
    assert "4 more in it are not shown" in " ".join(Page(html).text.split())


def test_an_unknown_run_writes_nothing(five, tmp_path):
    output = tmp_path / "old.html"
    output.write_text("old")
    with pytest.raises(RunMissing):
        write_report(five, ["nope"], output)
    assert output.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["old.html"]


def test_a_failure_while_writing_leaves_the_old_file(five, tmp_path, monkeypatch, built):
    output = tmp_path / "old.html"
    output.write_text("old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(NotWritable, match=r"cannot write .*old\.html: No space left on device"):
        write_report(five, ["pre-0"], output)
    assert output.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["old.html"]


def test_a_folder_is_no_file(five, tmp_path, built):
    with pytest.raises(NotWritable, match="expected a file name; got the folder"):
        write_report(five, ["pre-0"], tmp_path)
    with pytest.raises(NotWritable, match="there is no"):
        write_report(five, ["pre-0"], tmp_path / "no" / "r.html")


def test_the_file_has_ordinary_permissions(five, tmp_path, built):
    output = tmp_path / "r.html"
    (tmp_path / "ordinary").touch()
    write_report(five, ["pre-0"], output)
    assert output.stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    output.chmod(0o600)
    write_report(five, ["pre-0"], output)
    assert output.stat().st_mode & 0o777 == 0o600


def test_hostile_names_stay_text(hostile):
    html = render(build(hostile, names(hostile)))
    page = Page(html)
    assert not page.of("img") and len(page.of("script")) == 2 + html.count('type="application/json"')
    assert "<img src=x onerror=alert(1)>" in page.text and "\u202e" not in html
    for data in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL):
        assert not set(data) & {"<", ">", "&"}


def test_json_cannot_leave_its_element():
    assert safe_json('{"a": "</script><!--&"}') == '{"a": "\\u003c/script\\u003e\\u003c!--\\u0026"}'


def test_a_run_without_any_measurement_is_reported(tmp_path):
    from depthscope.store import RunInfo, open_run, open_store

    open_run(tmp_path / "runs", RunInfo(run="empty")).close()
    html = render(build(open_store(tmp_path / "runs"), ["empty"]))
    text = " ".join(Page(html).text.split())
    assert "Nothing was measured yet" in text and "not measured" in text and "Nothing was measured for: Loss." in text


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Store:
    """8 runs of 48 layers and 120 sampled steps: 6 written by a training, copied and shaken in SQL."""
    store = make_store(tmp_path_factory.mktemp("large") / "store", 8, layers=48, steps=6)
    with duckdb.connect(str(store.path / "depthscope.duckdb")) as connection:
        for table, shaken in (("layer_stats", ("variance", "param_grad_norm")), ("steps", ("loss",)), ("massive", ())):
            columns = ", ".join(["step + 60 * k AS step", *(f"{name} * (1 + random()) AS {name}" for name in shaken)])
            connection.execute(
                f"INSERT INTO {table} SELECT t.* REPLACE ({columns}) FROM {table} AS t, range(1, 20) AS r(k)"
            )
    return store


def test_a_large_report_stays_within_its_budget(large, tmp_path):
    write_report(large, names(large), tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size < BUDGET
