"""What an author may import is public: it is there, it is documented, and our packages use nothing else."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import mmmodal
import mmmodal.authoring
import mmmodal.testing

ROOT = Path(__file__).parents[1]
CORE = ROOT / "packages/core"
AUTHORING = [
    importlib.import_module(f"mmmodal.authoring.{module.name}")
    for module in pkgutil.iter_modules(mmmodal.authoring.__path__)
]
PUBLIC = [mmmodal, mmmodal.testing, *AUTHORING]
ALLOWED = ("mmmodal.authoring", "mmmodal.testing", "mmmodal.auto")


def names() -> Iterator[tuple[ModuleType, str]]:
    for module in PUBLIC:
        for name in module.__all__:
            yield module, name


def attribute_docs(module: ModuleType) -> set[str]:
    """Return the names of a module below which a docstring stands, or beside which a comment does."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    lines, body = source.splitlines(), ast.parse(source).body
    found = set()
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if told or "#" in lines[statement.lineno - 1]:
            for target in targets:
                found |= {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
    return found


@pytest.mark.parametrize(
    ("module", "name"), list(names()), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_public_name_is_there_and_documented(module: ModuleType, name: str) -> None:
    value: Any = getattr(module, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        assert value.__doc__ and value.__module__.startswith("mmmodal"), f"{name} has no docstring"
        return
    assert any(name in attribute_docs(home) for home in homes(module, name)), (
        f"{module.__name__}.{name} has no docstring below it"
    )


def homes(module: ModuleType, name: str) -> Iterator[ModuleType]:
    """Yield the modules from which a public module imports a name."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            yield importlib.import_module(str(node.module))


def test_names_that_load_on_first_use_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(Path(str(mmmodal.__file__)).read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert seen == mmmodal._PUBLIC


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def outside() -> list[Path]:
    """Return the sources of our packages but core, and of the examples."""
    folders = [*ROOT.glob("packages/*/src"), *ROOT.glob("examples/*/src")]
    return [
        path for folder in folders if CORE not in folder.parents for path in folder.rglob("*.py")
    ]


def test_our_packages_import_of_core_what_authors_may() -> None:
    allowed = {"mmmodal", *(f"mmmodal.{name}" for name in mmmodal.__all__)}
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in outside()
        for name in imports(path)
        if name.split(".")[0] == "mmmodal" and name not in allowed
        if not name.startswith(ALLOWED)
    }
    assert not wrong, f"these are core's own; {mmmodal.authoring.__name__} has what is public"


def test_our_packages_import_public_names_alone() -> None:
    public = {f"{module.__name__}.{name}" for module, name in names()}
    modules = {module.__name__ for module in PUBLIC} | {"mmmodal.authoring", "mmmodal.auto"}
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in outside()
        for name in imports(path)
        if name.startswith(ALLOWED) and name not in public | modules
        if not name.startswith(("mmmodal.auto.", "mmmodal.testing."))
    }
    assert not wrong


def test_the_authoring_page_lists_its_modules() -> None:
    text = str(mmmodal.authoring.__doc__)
    assert all(module.__name__.removeprefix("mmmodal.") in text for module in AUTHORING)
