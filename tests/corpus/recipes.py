"""Valid and malicious recipes: TOML files, and the weights that they name."""

import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from deepgllim.errors import ConfigurationError, ModelError
from tests.corpus.outcomes import Refused

DEEP = "[" * 20_000 + "]" * 20_000


class Case(NamedTuple):
    """A file's content, and what it comes to: the value of an option by its dotted name, or a refusal."""

    content: bytes | str
    expected: tuple[str, object] | Refused


def refused(words: str) -> Refused:
    return Refused(ConfigurationError, words)


NO_TEXT, NO_TOML, DEEPLY = refused("not a text in UTF-8"), refused("not valid TOML"), refused("nested too deeply")


def option(section: str, name: str, value: str, expected: object) -> Case:
    """One option; expected is its value, or a part of the refusal after its name."""
    wanted = expected if isinstance(expected, Refused) else (f"{section}.{name}", expected)
    return Case(f"[{section}]\n{name} = {value}\n", wanted)


RECIPES: dict[str, Case] = {
    "nothing": Case("", ("schedule.seed", 0)),
    "a comment": Case("# Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}", ("schedule.seed", 0)),
    "Windows": Case("[schedule]\r\nrounds = 3\r\n", ("schedule.rounds", 3)),
    "inline": Case("schedule = {rounds = 3}", ("schedule.rounds", 3)),
    "dotted": Case("schedule.rounds = 3", ("schedule.rounds", 3)),
    "none": option("network", "projection", "'none'", None),
    "frozen stages": option("network", "frozen_depths", "[3, 0]", (3, 0)),
    "largest seed": option("schedule", "seed", "4294967295", 2**32 - 1),
    "a whole number for a share": option("data", "margin", "2", 2.0),
    "latin-1": Case("# Zo\xeb".encode("latin-1"), NO_TEXT),
    "utf-16": Case("[schedule]".encode("utf-16"), NO_TEXT),
    "junk": Case(np.random.default_rng(0).bytes(500), NO_TEXT),
    "zeros": Case(bytes(100), NO_TOML),
    "deep": Case(f"a={DEEP}", DEEPLY),
    "deep tables": Case(f"{'.'.join('a' * 2_000)}=1", DEEPLY),
    "half a table": Case("[schedule", NO_TOML),
    "an option twice": Case("[schedule]\nrounds=1\nrounds=2\n", NO_TOML),
    "5000 digits": Case("[schedule]\nseed=" + "9" * 5000, NO_TOML),
    "unknown section": Case("[x]\ny=1", refused("x = {'y': 1}")),
    "unknown option": Case("[data]\ny=1", refused("data.y = 1")),
    "list for a section": Case("data=[1]", refused("data = [1]")),
    "seed 2^64": option("schedule", "seed", str(2**64), refused("schedule.seed = 18446744073709551616")),
    "seed -1": option("schedule", "seed", "-1", refused("schedule.seed = -1")),
    "step NaN": option("schedule", "learning_rate", "nan", refused("schedule.learning_rate = nan")),
    "step infinite": option("schedule", "learning_rate", "inf", refused("schedule.learning_rate = inf")),
    "step of text": option("schedule", "learning_rate", "'fast'", refused("schedule.learning_rate = 'fast'")),
    "no rounds": option("schedule", "rounds", "0", refused("schedule.rounds = 0")),
    "workers -1": option("schedule", "workers", "-1", refused("schedule.workers = -1")),
    "pictures of 10^9": option("data", "image_size", "1000000000", refused("data.image_size = 1000000000")),
    "share NaN": option("data", "validation", "nan", refused("data.validation = nan")),
    "share 1": option("data", "validation", "1.0", refused("data.validation = 1.0")),
    "margin NaN": option("data", "margin", "nan", refused("data.margin = nan")),
    "floor NaN": option("objective", "covariance_floor", "nan", refused("objective.covariance_floor = nan")),
    "no components": option("objective", "n_components", "0", refused("objective.n_components = 0")),
    "frozen stages of nothing": option("network", "frozen_depths", "[]", refused("network.frozen_depths = []")),
    "a date": option("schedule", "rounds", "2026-01-01", refused("schedule.rounds = ")),
}


class Weights(NamedTuple):
    """What stands where a recipe's weights should be, or the network's other options, and the refusal."""

    make: Callable[[Path], object]
    expected: Refused
    options: Mapping[str, object] = MappingProxyType({})


def weights(words: str, make: Callable[[Path], object]) -> Weights:
    return Weights(make, Refused(ModelError, words))


class _Program:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("it-ran",)


NETWORKS: dict[str, Weights] = {
    "weights missing": weights("weights", lambda path: None),
    "weights a folder": weights("weights", lambda path: path.mkdir()),
    "weights a pipe": weights("weights", lambda path: os.mkfifo(path)),
    "weights without end": weights("weights", lambda path: path.symlink_to("/dev/zero")),
    "weights a program": weights("weights", lambda path: path.write_bytes(pickle.dumps(_Program()))),
    "unknown backbone": Weights(
        lambda path: None, Refused(ModelError, "unknown backbone '../x'"), {"network.backbone": "../x"}
    ),
    "99 frozen stages": Weights(
        lambda path: None,
        Refused(ConfigurationError, "network.frozen_depths has 99"),
        {"network.frozen_depths": (99,), "network.weights": None},
    ),
}
