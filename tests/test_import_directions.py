"""Imports point down, siblings do not import each other, and what must not need torch does not."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import vitscope

PACKAGE = Path(vitscope.__file__).parent
LEVELS = (
    {"bootstrap"},
    {"axes", "table", "recipe", "runs"},
    {"data", "measures", "models", "claims", "reporting"},
    {"objectives", "tracing"},
    {"exhibits", "rows"},
    {"analysis"},
    {"optimisation"},
    {"evaluation"},
    {"training"},
    {"recipes", "study"},
    {"demo", "command_line"},
    {"cli"},
)
SHARE_A_LEVEL_FREELY = {"axes", "table", "recipe", "runs"}
WITHOUT_TORCH = (
    "vitscope",
    "vitscope.table",
    "vitscope.recipe",
    "vitscope.runs",
    "vitscope.command_line",
    "vitscope.cli",
)


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def level_of(part):
    return next(level for level, parts in enumerate(LEVELS) if part in parts)


def imported_parts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("vitscope."):
                yield name.split(".")[1]


FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent != PACKAGE or path.stem != "__init__"
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    part = part_of(path)
    for imported in imported_parts(path):
        if imported == part or imported not in set().union(*LEVELS):
            continue
        below = level_of(imported) < level_of(part)
        beside = {imported, part} <= SHARE_A_LEVEL_FREELY
        assert below or beside, f"{path.name} of {part} imports {imported}"


@pytest.mark.parametrize("module", [*WITHOUT_TORCH, "vitscope.reporting", "vitscope.recipes"])
def test_does_not_import_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_module_can_be_imported():
    for module in pkgutil.walk_packages([str(PACKAGE)], "vitscope."):
        importlib.import_module(module.name)


def test_every_public_name_is_there():
    for name in vitscope.__all__:
        assert getattr(vitscope, name) is not None
    with pytest.raises(AttributeError, match="vitscope has no 'mesure'"):
        _ = vitscope.mesure
