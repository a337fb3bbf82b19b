"""A page of HTML as tests look at it: its elements, its text, and what is left open."""

from __future__ import annotations

from collections.abc import Container
from html.parser import HTMLParser

__all__ = ["Page"]


class Page(HTMLParser):
    """Everything a page is made of; an element that is closed by another's end is an error."""

    def __init__(self, text: str, void: Container[str]) -> None:
        """Read a page.

        Args:
            text: the page.
            void: the elements that have no end.
        """
        super().__init__()
        self.text = text
        self.said = ""
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self._void = void
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self._void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        self.said += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of all elements of one kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def loaded(self) -> list[str]:
        """What the page would load: all that `src`, `href` and `srcset` name."""
        names = ("src", "href", "srcset")
        return [tag[name] for _, tag in self.tags for name in names if name in tag]
