"""What a user may choose about a report, its fine print, and the report for programs."""

import json
import re

import pandas as pd
import pytest

from depthscope.app import cli
from depthscope.app.report import SECTIONS, BadTemplate, UnknownSection, Wishes, build, render, write_report
from depthscope.app.report.about import command, digest
from depthscope.app.report.notes import notes_html
from depthscope.app.report.papers import KNOWN, bibtex, papers_in

RUNS = ["pre-0", "lns-0"]


def sections_of(html: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', html)


@pytest.fixture(scope="module")
def brief(five):
    """A report of two short sections."""
    return build(five, RUNS, wishes=Wishes(sections=("findings", "loss")))


class TestSections:
    def test_only_the_chosen_ones_are_drawn_and_linked(self, brief):
        html = render(brief)
        assert sections_of(html) == ["findings", "loss"]
        assert set(re.findall(r'href="#(\w+)"', html)) == {"findings", "loss"}

    def test_without_findings_there_is_no_link_to_them(self, five):
        html = render(build(five, RUNS, wishes=Wishes(sections=("papers",))))
        assert sections_of(html) == ["papers"] and "#findings" not in html

    def test_every_section_of_a_report_can_be_chosen(self, five):
        assert set(sections_of(render(build(five, ["pre-0"])))) <= set(SECTIONS)

    def test_an_unknown_one_is_one_line(self):
        with pytest.raises(UnknownSection, match=r"expected a section among findings, .*; got 'nope'"):
            Wishes(sections=("nope",))


class TestNotes:
    def test_they_stand_in_the_report(self, five):
        html = render(
            build(five, ["pre-0"], wishes=Wishes(sections=("findings", "notes"), notes="# Why\n\n*Because.*"))
        )
        assert sections_of(html) == ["findings", "notes"] and "<h3>Why</h3>" in html and "<em>Because.</em>" in html

    @pytest.mark.parametrize(
        "hostile",
        [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "![x](https://example.org/x.png)",
            "[x]: javascript:alert(1)\n\n[x]",
            "<a href='javascript:alert(1)'>x</a>",
            "`</script><script>alert(1)</script>`",
        ],
    )
    def test_nothing_in_them_runs_or_loads(self, hostile):
        html = notes_html(hostile)
        assert not re.search(r"<(script|img|iframe|object|svg)", html)
        assert not re.search(r'href="(?!https?:|mailto:|#)', html) and not re.search(r"<[^>]*\son\w+=", html)

    def test_tables_and_links_work(self):
        html = notes_html("| a | b |\n|---|---|\n| 1 | 2 |\n\n[paper](https://arxiv.org/abs/2502.05795)")
        assert "<table>" in html and '<a href="https://arxiv.org/abs/2502.05795">paper</a>' in html


class TestTemplate:
    def test_ones_own_may_extend_the_reports(self, brief):
        own = '{% extends "report.html.j2" %}{% block title %}<h1>Weekly {{ report.runs|length }}</h1>{% endblock %}'
        html = render(brief, own)
        assert "<h1>Weekly 2</h1>" in html and "Training across depth" not in html
        assert sections_of(html) == ["findings", "loss"]

    def test_names_stay_escaped_in_it(self, hostile):
        from depthscope.store import run_table

        runs = [str(run) for run in run_table(hostile)["run"]]
        report = build(hostile, runs, wishes=Wishes(sections=("findings",)))
        html = render(report, "{% for run in report.runs %}<p>{{ run.run }}</p>{% endfor %}")
        assert "<img" not in html and "&lt;img" in html

    @pytest.mark.parametrize(
        ("template", "said"),
        [("{% for %}", "(line 1)"), ("{{ nope }}", "'nope' is undefined"), ("{% include 'x' %}", "x")],
    )
    def test_a_wrong_one_is_one_line(self, brief, template, said):
        with pytest.raises(BadTemplate) as raised:
            render(brief, template)
        assert said in str(raised.value) and "\n" not in str(raised.value)


class TestAbout:
    def test_every_figure_says_where_it_comes_from(self, brief):
        (loss,) = brief.chapters[0].pictures
        assert loss.about.runs == 2 and loss.about.rows > 100 and len(loss.about.digest) == 16
        assert loss.about.command == "depthscope report store --run pre-0 --run lns-0 --section loss -o report.html"
        assert loss.about.digest in render(brief)

    def test_a_profile_is_defined(self, five):
        report = build(five, ["pre-0"], wishes=Wishes(sections=("profiles",)))
        assert all(picture.about.definition == "made up" for picture in report.chapters[0].pictures)

    def test_the_digest_follows_the_values(self):
        frame = pd.DataFrame({"run": ["a"], "value": [1.0]})
        assert digest(frame) == digest(frame.copy()) != digest(frame.assign(value=2.0))

    def test_names_cannot_leave_the_command(self):
        said = command("runs", ["a b", "$(rm -rf x)", "c\n\x1b"], "loss")
        assert "'a b'" in said and "'$(rm -rf x)'" in said and "\n" not in said and "\x1b" not in said
        assert command("runs", (), "loss") == "depthscope report runs --section loss -o report.html"


class TestPapers:
    def test_those_named_are_cited_once(self):
        assert papers_in(["see arXiv 2502.05795", "arXiv 2402.17762; arXiv 2502.05795"]) == ("2402.17762", "2502.05795")
        text = bibtex(["2502.05795", "2699.99999"])
        assert "title = {{The Curse of Depth in Large Language Models}}" in text and text.count("@misc{") == 2
        assert "author = {Wenfang Sun and Xinyuan Song and" in text
        assert "@misc{arxiv2699.99999,\n  year = {2026},\n  eprint = {2699.99999}," in text

    def test_the_report_lists_the_findings_papers(self, brief):
        assert {"2502.05795", "2402.17762", "2412.13795"} <= set(brief.papers)

    def test_every_paper_that_is_named_has_its_authors_and_title(self, brief):
        assert set(brief.papers) <= set(KNOWN)


class TestForPrograms:
    def test_the_json_says_the_same(self, five, tmp_path):
        write_report(five, RUNS, tmp_path / "r.json", wishes=Wishes(sections=("findings", "loss", "comparison")))
        said = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
        assert said["format"] == 1 and [run["run"] for run in said["runs"]] == RUNS and said["omitted_runs"] == 3
        assert {"status", "step", "loss", "strategy"} <= set(said["runs"][0])
        assert said["runs"][1]["findings"][0]["severity"] == "critical"
        assert [section["name"] for section in said["sections"]] == ["loss", "comparison"]
        figure = said["sections"][0]["figures"][0]
        assert figure["rows"] and figure["digest"] and figure["head"] and "json" not in figure

    def test_the_same_store_gives_the_same_bytes(self, five, tmp_path):
        for name in ("a.json", "b.json"):
            write_report(five, RUNS, tmp_path / name, wishes=Wishes(sections=("findings", "loss")))
        assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


class TestCommand:
    def test_the_options_reach_the_report(self, five, tmp_path):
        (tmp_path / "n.md").write_text("**bold**")
        (tmp_path / "t.j2").write_text("{{ report.notes }}|{{ report.sections|join(',') }}")
        output = tmp_path / "r.html"
        arguments = ["report", five.path, "--run", "pre-0", "-o", output, "--section", "loss", "--section", "notes"]
        with pytest.raises(SystemExit) as ended:
            cli.main([*map(str, arguments), "--notes", str(tmp_path / "n.md"), "--template", str(tmp_path / "t.j2")])
        assert not ended.value.code and output.read_text() == "**bold**|loss,notes"

    @pytest.mark.parametrize(
        ("option", "said"),
        [
            (["--section", "nope"], "expected a section among"),
            (["--notes", "no.md"], "expected a text file at no.md; got: No such file"),
            (["--template", "no.j2"], "expected a text file at no.j2"),
            (["--thresholds", "no.toml"], "expected a TOML file at no.toml"),
        ],
    )
    def test_errors_are_one_line(self, five, tmp_path, monkeypatch, capsys, option, said):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            cli.main(["report", str(five.path), "-o", "r.html", *option])
        errors = capsys.readouterr().err
        assert ended.value.code == 2 and said in errors and errors.count("\n") == 1
        assert not (tmp_path / "r.html").exists()
