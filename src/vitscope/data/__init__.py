"""Data: sources of images, transforms, batches, and the bundled world."""

from vitscope.data.loader import EvaluationBatch, TrainingBatches, evaluation_batches
from vitscope.data.shape_texture import ShapeTexture
from vitscope.data.source import CorruptImage, Sample, Source, skipped_summary
from vitscope.data.sources import as_source, open_source
from vitscope.data.transforms import evaluation_transform, moco_v3_views, simmim_view

__all__ = [
    "CorruptImage",
    "EvaluationBatch",
    "Sample",
    "ShapeTexture",
    "Source",
    "TrainingBatches",
    "as_source",
    "evaluation_batches",
    "evaluation_transform",
    "moco_v3_views",
    "open_source",
    "simmim_view",
    "skipped_summary",
]
