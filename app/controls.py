"""The controls of pages that show a metric: which one, measured where, at which step."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from .scene import Scene
from .text import SITES, labels, markdown, plain, short, site_words
from .view import View
from .widgets import pick, slide

__all__ = ["evaluation_control", "metric_controls", "metric_heading", "sampled", "stack_control", "step_control"]


def metric_controls(scene: Scene, view: View) -> View:
    """Two drop-downs, the second with the sites that have the metric; the view as it is when nothing was measured."""
    sites = scene.sites()
    if sites.empty:
        return view
    view = _stack(view, [str(stack) for stack in sites["stack"].unique()])
    sites = sites[sites["stack"] == view.stack].sort_values("title", key=lambda titles: titles.str.casefold())
    left, right = st.columns(2)
    with left:
        metric = pick("metric", "Metric", _titles(sites), view.metric)
    with right:
        found = {str(site) for site in sites.loc[sites["metric"] == metric, "site"]}
        places = [site for site in SITES if site in found] + sorted(found - set(SITES))
        site = pick("site", "Measured at", labels_of_sites(places), view.site)
    return replace(view, metric=metric, site=site)


def stack_control(scene: Scene, view: View) -> View:
    """Which stack, on a page without a choice of metric."""
    sites = scene.sites()
    return view if sites.empty else _stack(view, [str(stack) for stack in sites["stack"].unique()])


def _stack(view: View, stacks: list[str]) -> View:
    """Encoder or decoder, where the model has several; most have one, which needs no choice."""
    if len(stacks) == 1:
        return replace(view, stack=stacks[0])
    return replace(view, stack=pick("stack", "Stack", labels(stacks), view.stack))


def _titles(sites: pd.DataFrame) -> dict[str, str]:
    """Metric -> label, in the order of the rows."""
    pairs = sites.drop_duplicates("metric")
    names = [str(name) for name in pairs["metric"]]
    titles = [short(t) if isinstance(t, str) and t else short(n) for n, t in zip(names, pairs["title"], strict=True)]
    unique = labels(
        [
            f"{title}" if titles.count(title) == 1 else f"{title}, {name}"
            for title, name in zip(titles, names, strict=True)
        ]
    )
    return dict(zip(names, unique.values(), strict=True))


def labels_of_sites(sites: list[str]) -> dict[str, str]:
    """Site -> 'block output (resid_post)'."""
    return {site: f"{site_words(site)} ({plain(site)})" if site_words(site) != site else plain(site) for site in sites}


def metric_heading(scene: Scene, view: View) -> str:
    """What the page shows, as Markdown: 'Variance, block output'."""
    known = scene.metrics()
    title = known.loc[known["name"] == view.metric, "title"]
    return markdown(f"{title.iloc[0] if len(title) else view.metric}, {site_words(view.site)}")


def step_control(scene: Scene, view: View, runs: tuple[str, ...]) -> View:
    """A slider over the steps at which any of `runs` was sampled."""
    steps = sampled(scene, view, runs)
    newest = f"newest ({steps[-1]:,})" if steps else "newest"
    return replace(view, step=slide("step", "Step", steps, view.step, newest))


def evaluation_control(scene: Scene, view: View, table: str) -> View:
    """A slider over the steps at which any run on screen was evaluated on held-out data; see `Scene.evaluated`."""
    steps = scene.evaluated(table)
    newest = f"newest ({steps[-1]:,})" if steps else "newest"
    return replace(view, step=slide("step", "Evaluated at step", steps, view.step, newest))


def sampled(scene: Scene, view: View, runs: tuple[str, ...]) -> tuple[int, ...]:
    """Steps at which any of `runs` was sampled, on the batch that the view asks for; training batches come first."""
    return scene.steps("train" if view.phase == "auto" else view.phase, runs)
