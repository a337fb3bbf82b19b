"""The lines of plugin commands in `mmmodal --help`, read from their source without importing it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

__all__ = ["summary"]


def summary(entry: EntryPoint) -> str:
    """Return the first sentence of the docstring of a command; empty if it is not in the source.

    Importing a plugin takes long, and help must come at once; so the function that the entry point
    names is looked up in the text of its module.
    """
    import ast

    source = _source(entry.module)
    try:
        body = ast.parse(source.read_bytes()).body if source else []
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == entry.attr:
            text = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
            return text if text.endswith(".") or not text else f"{text}."
    return ""


def _source(module: str) -> Path | None:
    """Return the file of a module, for which only its package is found and nothing imported."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    if not rest:
        return Path(spec.origin)
    stem = Path(spec.origin).parent.joinpath(*rest)
    files = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((file for file in files if file.is_file()), None)
