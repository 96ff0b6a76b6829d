"""The formats of weight files that vitscope reads, and which one a file is of."""

from vitscope.models import (
    beit,
    deit,
    dino,
    dinov2,
    ibot,
    mae,
    moco_v3,
    simmim,
    vitscope_weights,
)
from vitscope.models.checkpoint import Checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat
from vitscope.models.strict_loading import some

FORMATS: tuple[CheckpointFormat, ...] = (
    vitscope_weights.FORMAT,
    moco_v3.FORMAT,
    simmim.FORMAT,
    mae.FORMAT,
    dino.FORMAT,
    ibot.FORMAT,
    beit.FORMAT,
    dinov2.FORMAT,
    deit.FORMAT,
)


def detected_format(checkpoint: Checkpoint) -> CheckpointFormat:
    """The one format whose keys a file has.

    Raises:
        ValueError: If there is none, or more than one.
    """
    found = [known for known in FORMATS if known.recognises(checkpoint)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(known.name for known in found)
        raise ValueError(
            f"{checkpoint.path} could be of the formats {names}; name one instead of file:"
        )
    formats = "; ".join(f"{known.name}: {known.description}" for known in FORMATS)
    keys = some([str(key) for key in checkpoint.entries])
    raise ValueError(
        f"{checkpoint.path} has the format of none that vitscope knows ({formats}); its first keys "
        f"are {keys}. If you know its format, name it instead of file:"
    )
