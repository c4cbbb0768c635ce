"""Valid and malicious checkpoints, made from that of a tiny training after two of three rounds."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.storage import read_tensors
from tests.corpus.outcomes import Refused

Tensors = dict[str, torch.Tensor]
Header = dict[str, str]


class Case(NamedTuple):
    """How a checkpoint is changed, and what a resume comes to: the model of an undisturbed run, or a refusal."""

    change: Callable[[Path], object]
    expected: Refused | None


def refused(words: str) -> Refused:
    return Refused(ModelError, words)


def edited(edit: Callable[[Tensors, Header], object]) -> Callable[[Path], object]:
    """Other content without a checksum, as an older version or another program writes it."""

    def change(path: Path) -> None:
        tensors, header = read_tensors(path)
        edit(tensors, header)
        save_file(tensors, path, header)

    return change


def header(key: str, value: str | None) -> Callable[[Path], object]:
    def edit(_: Tensors, found: Header) -> None:
        found.pop(key)
        if value is not None:
            found[key] = value

    return edited(edit)


def progress(**values: object) -> Callable[[Path], object]:
    """Other entries of the progress; … leaves one out."""

    def edit(_: Tensors, found: Header) -> None:
        entries = json.loads(found["progress"]) | values
        found["progress"] = json.dumps({name: value for name, value in entries.items() if value is not ...})

    return edited(edit)


def renamed(old: str, new: str) -> Callable[[Path], object]:
    def edit(tensors: Tensors, _: Header) -> None:
        for name in [name for name in tensors if name.startswith(old)]:
            tensors[new + name.removeprefix(old)] = tensors.pop(name)

    return edited(edit)


def flipped(place: int) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[place] ^= 0x40
        path.write_bytes(data)

    return change


def newer(_: Tensors, found: Header) -> None:
    found["deepgllim"] = json.dumps(json.loads(found["deepgllim"]) | {"format_version": 9})


def of_another_recipe(_: Tensors, found: Header) -> None:
    recipe = json.loads(found["recipe"])
    recipe["schedule"]["learning_rate"] *= 2
    found["recipe"] = json.dumps(recipe)


def model_alone(path: Path) -> None:
    path.write_bytes((path.parent / "model.safetensors").read_bytes())


CHECKPOINTS: dict[str, Case] = {
    "as it is": Case(lambda path: None, None),
    "without a checksum": Case(edited(lambda tensors, header: None), None),
    "of an older version": Case(progress(step_scale=..., failures=...), None),
    "moved in and out": Case(lambda path: (path.rename(path.with_name("x")), path.with_name("x").rename(path)), None),
    "with a temporary file beside it": Case(lambda path: path.with_name(f".{path.name}.1.tmp").write_bytes(b"x"), None),
    "missing": Case(lambda path: path.unlink(), refused("no such file")),
    "empty": Case(lambda path: path.write_bytes(b""), refused("cut short or not a safetensors file")),
    "half": Case(lambda path: os.truncate(path, path.stat().st_size // 2), refused("cut short")),
    "a byte less": Case(lambda path: os.truncate(path, path.stat().st_size - 1), refused("cut short")),
    "a wrong bit at its end": Case(flipped(-100), refused("its checksum is not that of its content")),
    "a wrong bit in the middle": Case(flipped(-3000), refused("its checksum is not that of its content")),
    "a model": Case(model_alone, refused("a model, not a checkpoint")),
    "newer": Case(edited(newer), refused("upgrade deepgllim")),
    "no recipe": Case(header("recipe", None), refused("its header has no recipe")),
    "recipe deep": Case(header("recipe", "[" * 100_000), refused("damaged (recipe: ")),
    "recipe cut": Case(header("recipe", "{"), refused("damaged (recipe: ")),
    "another recipe": Case(edited(of_another_recipe), Refused(ConfigurationError, "is of another recipe")),
    "no progress": Case(header("progress", None), refused("a model, not a checkpoint")),
    "progress cut": Case(header("progress", "{"), refused("damaged (progress: ")),
    "no round": Case(progress(round=...), refused("progress.round")),
    "round 10^9": Case(progress(round=10**9), refused("round 1000000000 of 3")),
    "round -1": Case(progress(round=-1), refused("progress.round = -1")),
    "rows of numbers": Case(progress(rows=[1, 2]), refused("progress.rows.0 = 1")),
    "fewer rows": Case(progress(rows=[]), refused("round 2 of 3, with metrics of 0 rounds")),
    "no best model": Case(renamed("best.", "zest."), refused("does not fit the model")),
    "optimiser of others": Case(renamed("optimizer.0.", "optimizer.x."), refused("belongs to no weights")),
    "no random numbers": Case(renamed("random_state", "rng"), refused("no state of the random numbers")),
    "no weights": Case(renamed("model.", "muddle."), refused("does not fit the model")),
    "other data": Case(
        edited(lambda tensors, _: tensors.update(targets=-tensors["targets"])),
        Refused(ConfigurationError, "is of other data"),
    ),
}
