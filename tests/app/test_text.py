import pytest

from depthscope.app.text import file_name, labels, markdown, plain, plotly, quantity, short, site_words


def test_plain_replaces_control_and_direction_characters():
    assert plain("a\nb\u202ec\x00\ud800") == "a�b�c��"


def test_short_keeps_both_ends():
    assert short("x" * 10) == "x" * 10
    assert short("abcdefghij", 7) == "abc…hij"
    assert len(short("y" * 300)) == 36


def test_plotly_text_has_no_tags():
    assert plotly("<b>a</b> & b") == "&lt;b&gt;a&lt;/b&gt; &amp; b"
    assert plotly("<" * 100) == "&lt;" * 18 + "…" + "&lt;" * 17  # cut before escaping: no broken entity


@pytest.mark.parametrize("name", ["**b**", "$x$", ":material/home:", "[a](http://b)", "<i>", "`c`", "a--b", "# h"])
def test_markdown_escapes_every_mark(name):
    assert markdown(name) == "".join(c if c.isalnum() or c == " " else f"\\{c}" for c in name)


def test_labels_differ_even_where_names_look_alike():
    names = ["a" * 50 + "1" + "a" * 50, "a" * 50 + "2" + "a" * 50, "ok"]
    shown = labels(names)
    assert list(shown) == names
    assert len(set(shown.values())) == 3
    assert shown["ok"] == "ok"


def test_quantity_leaves_out_an_empty_unit():
    assert quantity("Loss", "nats") == "Loss (nats)"
    assert [quantity("Kurtosis", unit) for unit in ("", "1", None, " ")] == ["Kurtosis"] * 4


def test_site_words():
    assert site_words("resid_post") == "block output"
    assert site_words("my_site") == "my_site"


def test_file_names_are_tame():
    assert file_name("depthscope Layer × step", ".csv") == "depthscope-layer-step.csv"
