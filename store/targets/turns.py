"""Deliveries take turns: each changes the one row of table `turns`, and one that finds it changed begins anew."""

__all__ = ["Overtaken"]


class Overtaken(Exception):
    """Another delivery committed since this one looked at the marks."""
