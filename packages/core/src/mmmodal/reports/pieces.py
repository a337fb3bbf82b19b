"""Components of reports: the page, headline figures, tables of facts, durations."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template

__all__ = ["brand", "card", "duration", "fact_rows", "figure_list", "page"]


def page(title: str, body: str, *, look: str = "", script: str = "") -> str:
    """Return the HTML of a page that loads no other files, and runs no other script.

    Args:
        title: the title, as text.
        body: HTML.
        look: rules of the page's own for its style sheet.
        script: JavaScript that is run behind the body; without it, no script is.
    """
    behind = f"<script>{script}</script>\n" if script else ""
    return Template(_resource("page.html")).substitute(
        title=escape(title),
        allowed=_allowed(script),
        style=_resource("report.css") + look,
        body=body + behind,
    )


def _allowed(script: str) -> str:
    """Return what the page's content security policy says of scripts."""
    if not script:
        return ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"; script-src 'sha256-{digest}'"


def brand(text: str) -> str:
    """Return the HTML of the line above a headline: the project's sign and a text."""
    return Template(_resource("brand.html")).substitute(text=escape(text))


def card(title: str, meaning: str, drawing: str) -> str:
    """Return the HTML of a plot with its title and meaning, which are text."""
    return (
        f'<figure class="card"><figcaption><h3>{escape(title)}</h3><p>{escape(meaning)}</p>'
        f"</figcaption>{drawing}</figure>"
    )


def figure_list(figures: Mapping[str, str]) -> str:
    """Return the HTML of figures side by side; their values are HTML."""
    pairs = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items()
    )
    return f'<dl class="figures">{pairs}</dl>'


def fact_rows(facts: Mapping[str, str]) -> str:
    """Return the rows of a table of names and values, which are text."""
    return "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )


def duration(seconds: float, decimals: int = 0) -> str:
    """Return a duration in its two largest units, or with `decimals` below a minute."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}&thinsp;h {minutes}&thinsp;min"
    if minutes:
        return f"{minutes}&thinsp;min {rest}&thinsp;s"
    return f"{seconds:.{decimals}f}&thinsp;s"


def _resource(name: str) -> str:
    return (files("mmmodal.reports") / name).read_text(encoding="utf-8")
