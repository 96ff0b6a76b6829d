"""What lies in a run folder is read as far as it goes, and named where it does not."""

import json

import pytest

from vitscope.recipe import Recipe
from vitscope.runs import Run, write_atomically


def test_damaged_lines_of_a_log_are_left_out(tmp_path):
    lines = [b'{"step": 1}', b"[1]", b"7", b'{"loss": 2}', b'{"step": "x"}', b"\xff\xfe{", b""]
    Run(tmp_path).log_path.write_bytes(b"\n".join([*lines, b'{"step": 2}', b'{"step": 3']))
    assert Run(tmp_path).log() == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "expected a recipe as JSON"),
        (b'{"name": "\xff"}', "expected a recipe as JSON"),
        (b'{"name": "x", "seed": -1}', "seed: expected 0 or more"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_named_with_its_path(tmp_path, content, message):
    run = Run(tmp_path)
    run.recipe_path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        run.recipe()
    assert str(caught.value).startswith(f"{run.recipe_path}: {message}")


def test_a_recipe_comes_back_from_its_folder(tmp_path):
    recipe = Recipe(name="größer")
    Run(tmp_path).recipe_path.write_text(json.dumps({"name": "größer"}), "utf-8")
    assert Run(tmp_path).recipe() == recipe


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_the_previous_file_alone(tmp_path, interruption):
    path = tmp_path / "state.pt"
    path.write_text("good")

    def interrupted(target):
        target.write_text("ba")
        raise interruption

    with pytest.raises(interruption):
        write_atomically(path, interrupted)
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]
