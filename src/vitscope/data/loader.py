"""Batches: for training a pure function of (seed, step), for evaluation every image once."""

import itertools
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vitscope.axes import Images
from vitscope.data import counter_random
from vitscope.data.source import CorruptImage, HeldSource, Sample, Source
from vitscope.data.watching import watched

Transform = Callable[[Image.Image | Tensor], Tensor]
Skipped = list[tuple[str, str]]


class TrainingBatches(Dataset):
    """Augmented batches that depend on the seed and the step alone.

    An epoch's order is drawn from (seed, epoch), a view's randomness from (seed, epoch, position,
    name of the view). So batches are the same, to the last bit, for any number of workers, after a
    restart at any step, and whichever other views are made. Each epoch drops its last, incomplete
    batch, as the official code does. An image that cannot be decoded is replaced by the next one
    that can, so that every batch is full; `source.skipped` names it.

    Args:
        source: The images.
        views: Transforms by name; each gives a float tensor (channel, height, width).
        batch_size: Images in a batch.
        seed: Of order and augmentation.
        num_workers: Processes that make batches ahead; 0: the main process does, on demand.

    Raises:
        ValueError: If the source has fewer images than a batch, or a view is called "index".
    """

    def __init__(
        self,
        source: Source,
        views: Mapping[str, Transform],
        batch_size: int,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        if len(source) < batch_size:
            raise ValueError(
                f"expected at least batch_size = {batch_size} images; {source.name} has "
                f"{len(source)}. Lower batch_size"
            )
        if not views or "index" in views:
            raise ValueError(f"expected views by name, none of them 'index'; got {list(views)}")
        self.source = source
        self.views = dict(views)
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the source."""
        return len(self.source) // self.batch_size

    def iterate(
        self, start_step: int = 0, stop_step: int | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """Batches of the steps from `start_step` up to, not including, `stop_step`.

        Args:
            start_step: First step; 0 is the first of the first epoch.
            stop_step: None: without end.

        Yields:
            Each view's name -> float tensor (image, channel, height, width), and "index" -> int64
            (image,), the images' positions in the source.
        """
        if self.num_workers and isinstance(self.source, HeldSource):
            self.source.hold_all()  # once here, not once in each worker
        steps = itertools.count(start_step) if stop_step is None else range(start_step, stop_step)
        for batch, skipped in _loader(self, steps, self.num_workers):
            for name, reason in skipped:
                self.source.skip(name, reason)
            yield batch

    def __getitem__(self, step: int) -> tuple[dict[str, Tensor], Skipped]:
        """The batch of a step, and the images that were replaced in it."""
        epoch, start = divmod(step, self.steps_per_epoch)
        start *= self.batch_size
        positions = epoch_order(self.seed, epoch, len(self.source))[start : start + self.batch_size]
        epoch_key = int(counter_random.hashed(self.seed, epoch))
        keys = {
            name: counter_random.stream_keys(epoch_key, positions, f"view {name}")
            for name in self.views
        }
        skipped: Skipped = []
        samples = [self._readable(int(position), skipped) for position in positions]
        batch = {"index": torch.tensor([sample.index for sample in samples])}
        with _undisturbed_generators():
            for name, view in self.views.items():
                images = []
                for sample, key in zip(samples, keys[name], strict=True):
                    _seed_generators(int(key))
                    images.append(view(sample.image))
                batch[name] = torch.stack(images)
        return batch, skipped

    def _readable(self, position: int, skipped: Skipped) -> Sample:
        """The sample at a position or, if it cannot be decoded, at the next that can."""
        for candidate in itertools.chain(range(position, len(self.source)), range(position)):
            try:
                return self.source[candidate]
            except CorruptImage as corrupt:
                skipped.append((corrupt.name, corrupt.reason))
        raise ValueError(f"none of the {len(self.source)} images of {self.source.name} decodes")


@lru_cache(maxsize=4)  # each step of an epoch asks again; workers run a little ahead
def epoch_order(seed: int, epoch: int, num_images: int) -> np.ndarray:
    """The order of the images in an epoch: a permutation of 0 to `num_images - 1`."""
    epoch_key = int(counter_random.hashed(seed, epoch))
    keys = counter_random.stream_keys(epoch_key, np.arange(num_images), "order")
    order = np.argsort(keys, kind="stable")
    order.setflags(write=False)  # it is handed out again
    return order


class EvaluationBatch(NamedTuple):
    """Images in order; those that cannot be decoded are missing.

    Args:
        images: Float tensor (image, channel, height, width).
        labels: int64 (image,), or None: unlabelled.
        index: int64 (image,), positions in the source.
    """

    images: Images
    labels: Tensor | None
    index: Tensor


def evaluation_batches(
    source: Source,
    transform: Transform,
    batch_size: int,
    num_workers: int = 0,
    limit: int | None = None,
) -> Iterator[EvaluationBatch]:
    """Every image of a source once, in order.

    Args:
        source: The images; those that cannot be decoded are left out and join `source.skipped`.
        transform: Gives a float tensor (channel, height, width), of one size for all images.
        batch_size: Images in a batch; the last one, and those with skipped images, are smaller.
        num_workers: Processes that make batches ahead; 0: the main process does, on demand.
        limit: Only the first so many images; None: all.

    Raises:
        ValueError: If the batch size is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch_size of 1 or more, got {batch_size}")
    if num_workers and limit is None and isinstance(source, HeldSource):
        source.hold_all()
    num_images = len(source) if limit is None else min(limit, len(source))
    batches = _EvaluationBatches(source, transform, batch_size, num_images)
    steps = range(-(-num_images // batch_size))
    loaded = watched(_loader(batches, steps, num_workers), source.name, len(steps))
    for batch, skipped in loaded:
        for name, reason in skipped:
            source.skip(name, reason)
        if batch is not None:
            yield batch


class _EvaluationBatches(Dataset):
    def __init__(
        self, source: Source, transform: Transform, batch_size: int, num_images: int
    ) -> None:
        self.source = source
        self.transform = transform
        self.batch_size = batch_size
        self.num_images = num_images

    def __getitem__(self, step: int) -> tuple[EvaluationBatch | None, Skipped]:
        start = step * self.batch_size
        samples, skipped = [], []
        for position in range(start, min(start + self.batch_size, self.num_images)):
            try:
                samples.append(self.source[position])
            except CorruptImage as corrupt:
                skipped.append((corrupt.name, corrupt.reason))
        if not samples:
            return None, skipped
        images = torch.stack([self.transform(sample.image) for sample in samples])
        known = [sample.label for sample in samples if sample.label is not None]
        labels = torch.tensor(known) if len(known) == len(samples) else None
        index = torch.tensor([sample.index for sample in samples])
        return EvaluationBatch(images, labels, index), skipped


def _loader(batches: Dataset, steps: range | itertools.count, num_workers: int) -> DataLoader:
    """Whole batches by step, in order. Its own generator leaves the global one undisturbed."""
    return DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=num_workers,
        generator=torch.Generator(),
        collate_fn=_unchanged,
        worker_init_fn=_leave_signals_to_main,
    )


def _leave_signals_to_main(worker: int) -> None:
    """Ctrl-C, and a scheduler's SIGTERM, reach every process of a run: the main one decides.

    A worker that died of them would take the run down before it is saved. Workers still end when
    they are told to, and when the main process is gone.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _unchanged(batch: Any) -> Any:
    return batch


@contextmanager
def _undisturbed_generators() -> Iterator[None]:
    """Give back the global generators as they were: torch's (CPU), Python's and numpy's."""
    torch_state = torch.get_rng_state()
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _seed_generators(key: int) -> None:
    """Seed every global generator that transforms draw from; timm's use Python's and numpy's."""
    torch.default_generator.manual_seed(key % 2**63)
    random.seed(key)
    np.random.seed(key % 2**32)  # noqa: NPY002
