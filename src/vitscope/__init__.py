"""vitscope: what did a self-supervised Vision Transformer learn, and what is it good for?

The verbs are imported when first used, so that `import vitscope` is instant.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitscope import recipes
    from vitscope.analysis import compare, measure
    from vitscope.evaluation import evaluate
    from vitscope.models.load import load
    from vitscope.recipe import Recipe
    from vitscope.reporting import report
    from vitscope.table import Exhibit, Table
    from vitscope.tracing import trace
    from vitscope.training.pretrain import pretrain

__all__ = [
    "Exhibit",
    "Recipe",
    "Table",
    "compare",
    "evaluate",
    "load",
    "measure",
    "pretrain",
    "recipes",
    "report",
    "trace",
]

_HOMES = {
    "Exhibit": "vitscope.table",
    "Recipe": "vitscope.recipe",
    "Table": "vitscope.table",
    "compare": "vitscope.analysis",
    "evaluate": "vitscope.evaluation",
    "load": "vitscope.models.load",
    "measure": "vitscope.analysis",
    "pretrain": "vitscope.training.pretrain",
    "report": "vitscope.reporting",
    "trace": "vitscope.tracing",
}


def __getattr__(name: str) -> object:
    """Import the home of a public name when it is first asked for (PEP 562)."""
    if name == "recipes":
        return importlib.import_module("vitscope.recipes")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"vitscope has no {name!r}; it has {', '.join(__all__)}")
