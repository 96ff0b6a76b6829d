"""Names of the objects that a pickle would import, found without unpickling it."""

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from vitscope.models.checkpoint import is_safetensors

# What tensors and plain containers need; torch's own reader lets these through too.
ORDINARY = {
    "collections.OrderedDict",
    "collections.Counter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.nn.parameter.Parameter",
    "torch.Size",
    "torch.device",
    "_codecs.encode",
    "__builtin__.set",  # as protocol 2 writes builtins.set; modules hold sets
}
LEGACY_PICKLES = 5  # torch's old files: magic number, version, system, content, storage keys
ZIP = b"PK\x03\x04"
MADE_WHILE_READING = "an object whose name is made while it is read"


def pickled_names(path: Path) -> tuple[str, ...]:
    """Names that the pickles in a file would import, without those that weights need.

    Args:
        path: Any file; the file is disassembled, no part of it runs.

    Returns:
        Sorted; empty for safetensors, and for a file that holds no pickle.
    """
    if is_safetensors(path):
        return ()
    found: set[str] = set()
    try:
        for name in _names(path):
            found.add(name)
    except (ValueError, zipfile.BadZipFile, OSError):
        pass  # the end of what is a pickle; what was named before counts
    return tuple(sorted(name for name in found if not _is_ordinary(name)))


def _is_ordinary(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return name in ORDINARY or (module == "torch" and last.endswith("Storage"))


def _names(path: Path) -> Iterator[str]:
    with open(path, "rb") as file:
        if file.read(len(ZIP)) != ZIP:  # as torch tells them; a zip can also hang on at the end
            file.seek(0)
            for _ in range(LEGACY_PICKLES):
                yield from _names_in_pickle(file)
            return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".pkl"):
                with archive.open(member) as file:
                    yield from _names_in_pickle(file)


def _names_in_pickle(file: IO[bytes]) -> Iterator[str]:
    """Names of one pickle; the file is left behind its end."""
    pushed: list[str | None] = [None, None]  # the top of the stack, where it is known to be text
    memo: dict[Any, str | None] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            module, name = pushed[-2:]
            yield f"{module}.{name}" if module and name else MADE_WHILE_READING
        elif opcode.name.startswith("EXT"):
            yield f"number {argument} of copyreg's extensions"
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = pushed[-1]
        elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[argument] = pushed[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
            pushed.append(memo.get(argument))
        elif opcode.name in ("POP", "POP_MARK", "DUP"):  # what is on top now is not followed
            pushed += [None, None]
        elif opcode.name.endswith("UNICODE"):
            pushed.append(argument)
        elif opcode.stack_after:
            pushed.append(None)
