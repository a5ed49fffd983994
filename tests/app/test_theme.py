from depthscope.app.theme import DASHES, KNOWN, OTHERS, THEMES, in_order, run_styles, strategy_style, tint
from depthscope.sample_runs import STRATEGIES


def test_known_strategies_have_colours_of_their_own():
    colours = {
        name: strategy_style(name).colour for name in ("pre", "post", "peri", "mix", "lns", "deepnorm", "output")
    }
    assert len(set(colours.values())) == len(colours)
    assert colours["pre"] == "#0072B2" and colours["post"] == "#D55E00"
    assert not set(OTHERS) & {colour for colour, _ in KNOWN.values()}


def test_every_strategy_that_can_be_trained_here_has_a_look_of_its_own():
    looks = {name: (strategy_style(name).colour, strategy_style(name).marker) for name in STRATEGIES}
    assert set(STRATEGIES) <= set(KNOWN)
    assert len({colour for colour, _ in looks.values()}) == len(looks)


def test_an_unknown_strategy_looks_the_same_on_every_machine():
    assert strategy_style("my-norm") == strategy_style("my-norm")
    assert strategy_style("my-norm").colour == "#CC6677"
    assert strategy_style("<b>\ud800").colour in OTHERS


def test_a_missing_strategy_is_unknown():
    assert strategy_style(None) == strategy_style("") == strategy_style(float("nan")) == strategy_style("unknown")


def test_runs_of_one_strategy_share_its_colour_and_differ_by_dash():
    styles = run_styles([("a", "pre"), ("b", "post"), ("c", "pre")])
    assert styles["a"].colour == styles["c"].colour != styles["b"].colour
    assert [styles[run].dash for run in "abc"] == [DASHES[0], DASHES[0], DASHES[1]]


def test_strategies_that_share_a_colour_are_told_apart():
    by_colour = {}
    names = [f"mine-{n}" for n in range(20)]
    for name in names:
        by_colour.setdefault(strategy_style(name).colour, []).append(name)
    alike = next(group for group in by_colour.values() if len(group) > 1)[:2]
    first, second = (run_styles([(name, name) for name in alike])[name] for name in alike)
    assert first.colour == second.colour and first.dash != second.dash


def test_legends_list_runs_by_strategy():
    assert in_order([("a", "zz"), ("b1", "post"), ("c", "pre"), ("b0", "post"), ("d", "")]) == [
        "c",
        "b0",
        "b1",
        "d",
        "a",
    ]


def test_themes_draw_on_their_own_ground():
    for name, theme in THEMES.items():
        assert theme.name == name
        assert theme.template.layout.paper_bgcolor == theme.paper
    assert THEMES["light"].paper != THEMES["dark"].paper


def test_tint():
    assert tint("#0072B2", 0.2) == "rgba(0,114,178,0.2)"
