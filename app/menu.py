"""The menu: links that carry the view, so that a change of page keeps what is shown and is one step for Back.

Streamlit's own menu drops the query and would leave a bare address between any two pages in the browser's history.
"""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.navigation.page import Page as Address

from .pages import PAGES, Page
from .view import View, to_params

__all__ = ["Menu", "menu"]


@dataclass(frozen=True)
class Menu:
    """Where the reader is, and the place of the links."""

    page: Page
    addresses: tuple[Address, ...]
    place: DeltaGenerator

    @property
    def links(self) -> dict[str, Address]:
        """Page name -> its address."""
        return {page.name: address for page, address in zip(PAGES, self.addresses, strict=True)}

    def show(self, view: View) -> None:
        """Draw the links, or draw them again with a changed view."""
        with self.place.container(gap="xxsmall"):
            for address in self.addresses:
                st.page_link(address, query_params=to_params(view), width="stretch")


def menu(first: str) -> Menu:
    """Tell Streamlit the pages, `first` behind the bare address and its name, and find out which one is asked for."""
    addresses = tuple(_address(page, page.name == first) for page in PAGES)
    start = next(page for page in PAGES if page.name == first)
    by_name = _address(start, default=False)
    asked = st.navigation([*addresses, by_name], position="hidden")
    asked.run()
    page = next((page for page, address in zip(PAGES, addresses, strict=True) if address == asked), start)
    # The link to the page on screen leads to the name it was asked by, or it would not be marked as the present one.
    links = tuple(asked if each is page else address for each, address in zip(PAGES, addresses, strict=True))
    return Menu(page, links, st.sidebar.empty())


def _address(page: Page, default: bool) -> Address:
    """The default page is served at the root alone, and would keep its own name from being an address."""
    name = "start" if default else page.name
    return st.Page(_nothing(name), title=page.title, icon=page.icon, url_path=name, default=default)


def _nothing(name: str) -> Callable[[], None]:
    """A page for Streamlit that draws nothing: the entry script does. Streamlit tells pages apart by this name."""

    def page() -> None:
        pass

    page.__name__ = name
    return page
