"""What the reports of this project have in common: their look, and curves."""

from importlib.resources import files

__all__ = ["style"]


def style() -> str:
    """Return the style sheet of a report, which loads nothing."""
    return (files(__name__) / "report.css").read_text(encoding="utf-8")
