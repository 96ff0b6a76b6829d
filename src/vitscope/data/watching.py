"""Passes over images that someone watches: how far each has come."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Watcher = Callable[[str, int, int], None]
"""Called with the source's name, batches done and batches in all; once more before the first."""

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """While entered, every pass over images tells the watcher how far it has come."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def watched(batches: Iterable[Item], name: str, num_batches: int) -> Iterator[Item]:
    """The batches as they are; whoever watches is told of each."""
    tell = _watcher.get() or (lambda name, done, num_batches: None)
    tell(name, 0, num_batches)
    for done, batch in enumerate(batches, start=1):
        yield batch
        tell(name, done, num_batches)
