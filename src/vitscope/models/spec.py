"""Spec: the line of text that says where a model comes from, `kind:name?option=value&...`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spec:
    """A parsed spec.

    Args:
        text: As it was written.
        kind: The word before the colon: a source (timm, random, run, ...) or a checkpoint format.
        name: What the source is asked for: a model's name, a file, a folder.
        options: What follows the question mark, as text.
    """

    text: str
    kind: str
    name: str
    options: Mapping[str, str]

    def typed_options(self, types: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
        """The options, converted.

        Args:
            types: Known options and what turns their text into a value.

        Raises:
            ValueError: If an option is unknown, or its text cannot be converted.
        """
        if unknown := sorted(set(self.options) - set(types)):
            known = ", ".join(types) or "none"
            raise ValueError(
                f"{self.text!r} has unknown options {', '.join(unknown)}; this source takes {known}"
            )
        values = {}
        for name, text in self.options.items():
            try:
                values[name] = types[name](text)
            except ValueError as error:
                raise ValueError(
                    f"{self.text!r}: option {name}={text} is not usable: {error}"
                ) from error
        return values


def parse_spec(text: str) -> Spec:
    """The parts of a spec.

    Args:
        text: `kind:name` or `kind:name?option=value&option=value`; a name has no question mark.

    Raises:
        ValueError: If there is no kind or no name, or an option has no value or is given twice.

    Example:
        >>> parse_spec("mae:vit.pth?num_heads=8").options
        {'num_heads': '8'}
    """
    kind, colon, rest = text.partition(":")
    name, _, query = rest.partition("?")
    if not (kind and colon and name):
        raise ValueError(
            f"expected a model as kind:name, for example timm:vit_tiny_patch16_224, got {text!r}"
        )
    options: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        option, equals, value = pair.partition("=")
        if not (option and equals and value) or option in options:
            raise ValueError(f"expected options as name=value, each once, got {pair!r} in {text!r}")
        options[option] = value
    return Spec(text, kind, name, options)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if int(text) < 1:
        raise ValueError("expected a whole number of at least 1")
    return int(text)


def seed_number(text: str) -> int:
    """A seed that torch's generators take."""
    if not 0 <= int(text) < 2**63:
        raise ValueError("expected a whole number from 0 to 2^63 - 1")
    return int(text)


def sides(text: str) -> tuple[int, int]:
    """Height and width of `224` or `128x96`, in pixels.

    Example:
        >>> sides("128x96")
        (128, 96)
    """
    parts = [positive(part) for part in text.split("x")]
    if len(parts) > 2:
        raise ValueError("expected one side, or height x width")
    return parts[0], parts[-1]


def channel_values(text: str) -> tuple[float, ...]:
    """One number per colour channel, separated by commas.

    Example:
        >>> channel_values("0.5,0.5,0.5")
        (0.5, 0.5, 0.5)
    """
    return tuple(float(part) for part in text.split(","))


def one_of(*words: str) -> Callable[[str], str]:
    """What reads an option that is one of a few words.

    Example:
        >>> one_of("base", "momentum")("base")
        'base'
    """

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return read
