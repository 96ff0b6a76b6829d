"""What the loader needs to know of a format in which others save weights."""

from collections.abc import Callable
from dataclasses import dataclass

from vitscope.models.backbone import Backbone
from vitscope.models.checkpoint import Checkpoint
from vitscope.models.spec import Spec


@dataclass(frozen=True, kw_only=True)
class CheckpointFormat:
    """A weight file's format.

    Args:
        name: The kind in a spec: `name:PATH`.
        recognises: Whether the keys of a file are those of this format.
        backbone: Builds the model that the weights describe and loads them strictly; the spec's
            options give the facts that no file holds. Raises ValueError if they do not fit.
        description: What a list of formats says of it.
    """

    name: str
    recognises: Callable[[Checkpoint], bool]
    backbone: Callable[[Checkpoint, Spec], Backbone]
    description: str
