"""Parse a page of HTML for tests: its elements, its text, and unclosed elements."""

from __future__ import annotations

from collections.abc import Container
from html.parser import HTMLParser

__all__ = ["Page"]


class Page(HTMLParser):
    """The content of a page; a wrong end tag is an error."""

    def __init__(self, text: str, void: Container[str]) -> None:
        """Parse a page.

        Args:
            text: the page.
            void: the elements without an end tag.
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
        """The values of all `src`, `href` and `srcset`, which the page would load."""
        names = ("src", "href", "srcset")
        return [tag[name] for _, tag in self.tags for name in names if name in tag]
