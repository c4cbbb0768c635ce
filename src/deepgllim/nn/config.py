"""The recipe of a training: frozen, typed, documented option by option; read from TOML, saved in every checkpoint.

The defaults are ours; `recipes/` holds the paper's and the baseline's. The text of the paper is the default of every
option that its authors' published code decides otherwise (docs/training.md lists them).
"""

import reprlib
import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from deepgllim.errors import ConfigurationError
from deepgllim.storage import refuse_unreadable

Share = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class DataConfig(_Section):
    """What the network sees of a picture."""

    image_size: Annotated[int, Field(ge=16, le=1024)] = Field(96, description="side of the square crop, pixels")
    margin: Annotated[float, Field(ge=0.5, le=5)] = Field(
        1.4, description="side of the crop over the box's larger side"
    )
    validation: Share = Field(0.2, description="share of the people held out for validation; 0 for none")


class AugmentationConfig(_Section):
    """Random changes of the training pictures; 0 or false switches one off."""

    mirror: bool = Field(True, description="mirror half of the pictures, negating yaw and roll")
    box_shift: Share = Field(0.08, description="largest shift of the box, share of its side")
    box_scale: Share = Field(0.12, description="largest change of the box's side, share")
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(
        0.0, description="largest turn of the picture, degrees; needs all three angles of a pose as targets"
    )
    blur: Share = Field(0.0, description="largest loss of resolution, share, on half of the pictures")
    occlusion: Share = Field(0.0, description="largest patch over the picture, share of its side, on half of them")
    brightness: Share = Field(0.3, description="largest change of the gain common to all channels, share")
    contrast: Share = Field(0.3, description="largest change of contrast about mid-grey, share")
    saturation: Share = Field(0.4, description="largest change of saturation, share")
    colour: Share = Field(0.1, description="largest change of each channel's own gain, share")
    noise: NonNegativeFloat = Field(6.0, description="largest standard deviation of Gaussian noise, grey levels")
    jpeg: Annotated[int, Field(ge=0, le=95)] = Field(
        40, description="lowest JPEG quality, on half of the pictures; 0: none"
    )

    @property
    def changes_pictures(self) -> bool:
        """Whether any change is switched on."""
        return any(bool(value) for value in self.model_dump().values())

    @classmethod
    def off(cls) -> "AugmentationConfig":
        """No change at all, as in the paper."""
        return cls(**{name: False if name == "mirror" else 0 for name in cls.model_fields})


class NetworkConfig(_Section):
    """The network between the picture and the head."""

    backbone: str = Field("efficientnet_lite0", description="name of the backbone")
    weights: str | None = Field("imagenet", description="'imagenet', a weights file, or none for random weights")
    preprocessing: str | None = Field(
        None, description="of a weights file that does not name its own: caffe, torchvision"
    )
    head: str | None = Field(
        None, description="variant of the backbone's last stages; none: what its weights hold (docs/backbones.md)"
    )
    backbone_norm: Literal["frozen", "batch"] = Field(
        "frozen", description="batch normalisation inside the backbone: fixed statistics, or those of the batch"
    )
    projection: PositiveInt | None = Field(
        512, description="features after the projection, D; none: the backbone's own"
    )
    affine_norm: bool = Field(False, description="learn scale and shift in the normalisation after the projection")
    frozen_depths: tuple[NonNegativeInt, ...] = Field(
        (0,), min_length=1, description="backbone stages kept frozen, round by round; the last value holds for the rest"
    )


class ObjectiveConfig(_Section):
    """What is minimised, and the mixture of the inverse regression."""

    name: Literal["inverse_regression", "least_squares", "mixture_density"] = Field(
        "inverse_regression", description="the objective"
    )
    components: PositiveInt = Field(1, description="K, mixture components")
    noise: Literal["isotropic", "diagonal", "full"] = Field("diagonal", description="structure of Σ")
    tied: bool = Field(False, description="one Σ for all components")
    beta: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0,
        description="β, weight of −log p(x) in the network step: 0 is the paper's step, 1 the conditional likelihood "
        "p(y | x)",
    )
    shrinkage: Share | Literal["oas"] = Field(
        0.0, description="share by which each M-step moves Σ towards its mean variance; oas: the closed-form intensity"
    )
    max_iterations: PositiveInt = Field(100, description="EM iterations a round at most")
    tolerance: NonNegativeFloat = Field(1e-3, description="EM stops when a gain is under this share of the whole gain")
    variance_floor: Share = Field(1e-4, description="least variance in EM, share of the features' own")
    frozen_rounds: NonNegativeInt = Field(2, description="rounds with r frozen at its start from the targets")
    em_start: Literal["parameters", "targets"] = Field(
        "parameters", description="EM of a round starts from the last θ, or from p(z | y), which no component dies of"
    )
    responsibilities: Literal["joint", "targets"] = Field(
        "joint", description="of the network step: p(z | x, y), or p(z | y) as in the authors' code"
    )
    assignment: Literal["weighted", "sampled"] = Field(
        "weighted",
        description="of the network step: the sum over k, or one k drawn per picture as in the authors' code",
    )
    network_noise: Literal["mixture", "diagonal", "tied_isotropic", "signal"] = Field(
        "mixture",
        description="Σ in the network step: the mixture's, its diagonal, one σ² as in the authors' code, or that of "
        "what the targets move, so that no target is neglected",
    )
    target_noise: NonNegativeFloat = Field(
        0.0,
        description="τ, variance added to the predictive covariances in the network step, share of the targets' own: "
        "targets that are hard to predict weigh more",
    )
    refit: bool = Field(
        True,
        description="after the last round: EM (least squares: the covariance) on training and validation people",
    )
    ridge: PositiveFloat = Field(
        1e-2, description="least squares, mixture density: strength of the closed-form start of the linear layer"
    )


class ScheduleConfig(_Section):
    """Rounds, steps and their size."""

    rounds: PositiveInt = Field(6, description="rounds of network epochs, then EM")
    epochs_per_round: PositiveInt = Field(2, description="network epochs a round")
    em: Literal["stepwise", "round"] = Field(
        "stepwise",
        description="θ within a round: it follows the batches by stepwise EM, or is fixed until the round's own EM",
    )
    em_window: PositiveFloat = Field(0.5, description="stepwise EM: epochs that the running averages look back")
    em_every: PositiveInt = Field(2, description="stepwise EM: batches for each M-step")
    batch_size: Annotated[int, Field(ge=2)] = Field(32, description="pictures a step")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="adamw, or SGD with Nesterov's momentum")
    learning_rate: PositiveFloat = Field(5e-4, description="largest step size")
    learning_rate_schedule: Literal["cosine", "constant", "halving"] = Field(
        "cosine", description="cosine to 0 after a warm-up, constant, or halved every `halve_every` epochs"
    )
    halve_every: PositiveInt = Field(3, description="epochs between halvings")
    warm_up: Share = Field(0.05, description="share of all steps with a rising step size (cosine only)")
    momentum: Share = Field(0.9, description="of SGD")
    weight_decay: NonNegativeFloat = Field(1e-2, description="decoupled for adamw, classical for sgd")
    clip_norm: PositiveFloat | None = Field(1.0, description="largest norm of the gradient; none for no limit")
    keep_epoch: Literal["last", "best"] = Field(
        "last",
        description="of each round: its last epoch, or that of the least validation loss as in the authors' code",
    )
    augmented_features: bool = Field(
        False, description="EM sees augmented training pictures, as the network step does, instead of the plain ones"
    )
    fixed_copies: NonNegativeInt = Field(
        0,
        description="augmented copies of each training picture, made once and seen every epoch beside the plain "
        "one, so that frozen stages are computed once; 0: new ones every epoch",
    )
    select_by: Literal["mae", "nll"] = Field("mae", description="validation figure by which the best round is kept")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="of splits, order, augmentation and k-means")
    workers: NonNegativeInt = Field(0, description="processes that prepare pictures; 0: none beside the main one")


class Recipe(_Section):
    """All the options of a training, by section.

    Example:
        >>> recipe = Recipe()
        >>> recipe.override({"objective.components": 2}).objective.components
        2
    """

    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    network: NetworkConfig = NetworkConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    def override(self, options: dict[str, Any]) -> "Recipe":
        """A recipe with some options changed, by their dotted names.

        Raises:
            ConfigurationError: for an unknown option or a value out of range.
        """
        values = self.model_dump()
        for dotted, value in options.items():
            section, _, option = dotted.partition(".")
            if option not in values.get(section, {}):
                known = [f"{name}.{key}" for name, entries in values.items() for key in entries]
                near = get_close_matches(dotted, known, n=3, cutoff=0.4) or [f"{name}.…" for name in values]
                raise ConfigurationError(
                    f"unknown option {dotted!r}: did you mean {', '.join(near)}? docs/cli.md and "
                    "`deepgllim recipes inverse_regression` list all"
                )
            values[section][option] = value
        return parse_recipe(values, "the options given")


def parse_recipe(values: dict[str, Any], source: str) -> Recipe:
    """A recipe from nested values; what is left out keeps its default.

    Raises:
        ConfigurationError: naming each wrong option, its value and what was expected.
    """
    try:
        return Recipe.model_validate(_none(values))
    except ValidationError as error:
        shown = reprlib.Repr()
        shown.maxstring = shown.maxother = 80
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))} = {shown.repr(fault['input'])}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ConfigurationError(f"{source}: {faults}") from None
    except RecursionError:
        raise ConfigurationError(f"{source}: nested too deeply for a recipe: options are section.option") from None


def recipe_names() -> list[str]:
    """The recipes in the package."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in files("deepgllim.recipes").iterdir()
        if entry.name.endswith(".toml")
    )


def load_recipe(name: str) -> Recipe:
    """A recipe by its name in the package, or from a TOML file.

    Raises:
        ConfigurationError: if there is neither, or the file is not a recipe.

    Example:
        >>> load_recipe("least_squares").objective.name
        'least_squares'
    """
    if name in recipe_names():
        text = files("deepgllim.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    else:
        text = _read(name)
    try:
        return parse_recipe(tomllib.loads(text), name)
    except RecursionError:
        raise ConfigurationError(f"{name}: nested too deeply for a recipe: options are section.option") from None
    except ConfigurationError:
        raise
    except ValueError as error:  # of TOML, or of a number of thousands of digits
        raise ConfigurationError(f"{name}: not valid TOML ({error}): see docs/training.md for the form") from None


def _read(name: str) -> str:
    """The text of a recipe's file."""
    try:
        if not Path(name).is_file():
            known = ", ".join(recipe_names())
            raise ConfigurationError(f"unknown recipe {name!r}: give a TOML file or one of {known}")
        refuse_unreadable(name, ConfigurationError)
        return Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{name}: not a text in UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read ({error.strerror}): check the path") from None


def _none(values: Any) -> Any:
    """TOML has no null: the word "none" stands for it."""
    if isinstance(values, dict):
        return {key: _none(value) for key, value in values.items()}
    return None if values == "none" else values
