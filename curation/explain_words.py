"""Class names and numbers inside of explanations."""

from __future__ import annotations


class Label(str):
    """A class name inside an explanation: drawn apart from the words around it, and as untrusted as any label."""


def number(value: float) -> str:
    """A measurement for people: three digits, or whole where it is large."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(share: float) -> str:
    """A share in [0, 1] for people: never 0 % or 100 % of what is not exactly that."""
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"


def fine_percent(share: float) -> str:
    """The same with one decimal."""
    if 0.999 < share < 1:
        return "over 99.9 %"
    return "under 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
