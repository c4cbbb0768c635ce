"""The sections of a recipe: typed, immutable, with a description of each option.

The defaults are those of this package. Where the published code of the paper's authors differs from the text of the
paper, the default follows the text (docs/training.md lists these options).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Base class of the sections: immutable, without unknown options or numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class DataConfig(Section):
    """The crop of a face that the network reads."""

    image_size: Annotated[int, Field(ge=16, le=1024)] = Field(96, description="side of the square crop in pixels")
    margin: Annotated[float, Field(ge=0.5, le=5)] = Field(
        1.4, description="side of the crop divided by the longer side of the box"
    )
    validation: Share = Field(0.2, description="share of the people held out for validation; 0: none")


class AugmentationConfig(Section):
    """Random changes of the training pictures; 0 or false switches a change off."""

    mirror: bool = Field(True, description="mirror half of the pictures, which negates yaw and roll")
    box_shift: Share = Field(0.08, description="largest shift of the box, as a share of its side")
    box_scale: Share = Field(0.12, description="largest change of the side of the box, as a share")
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(
        0.0, description="largest rotation of the picture in degrees; requires all three angles of a pose as targets"
    )
    blur: Share = Field(0.0, description="largest loss of resolution, as a share, in half of the pictures")
    occlusion: Share = Field(0.0, description="largest patch over half of the pictures, as a share of their side")
    brightness: Share = Field(0.3, description="largest change of the common gain of all channels, as a share")
    contrast: Share = Field(0.3, description="largest change of contrast about mid-grey, as a share")
    saturation: Share = Field(0.4, description="largest change of saturation, as a share")
    grey: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="share of the pictures without colour")
    colour: Share = Field(0.1, description="largest change of the gain of each channel, as a share")
    noise: NonNegativeFloat = Field(6.0, description="largest standard deviation of Gaussian noise, in grey levels")
    jpeg: Annotated[int, Field(ge=0, le=95)] = Field(
        40, description="lowest JPEG quality, in half of the pictures; 0: no compression"
    )

    @property
    def changes_pictures(self) -> bool:
        """Whether any change is switched on."""
        return any(bool(value) for value in self.model_dump().values())

    @classmethod
    def off(cls) -> "AugmentationConfig":
        """Return the configuration without any change, as in the paper."""
        return cls(**{name: False if name == "mirror" else 0 for name in cls.model_fields})


class NetworkConfig(Section):
    """The network before the head: backbone, projection, normalisation."""

    backbone: str = Field("efficientnet_lite0", description="name of the backbone")
    weights: str | None = Field(
        "imagenet",
        description="'imagenet' or 'faces' (facemesh_v2) for packaged weights, the path of a weights file, or none for "
        "random weights",
    )
    preprocessing: str | None = Field(
        None, description="preprocessing of a weights file that does not name its own: caffe, torchvision"
    )
    head: str | None = Field(
        None, description="variant of the last stages of the backbone; none: that of its weights (docs/backbones.md)"
    )
    backbone_norm: Literal["frozen", "batch"] = Field(
        "frozen", description="batch normalisation in the backbone: with fixed statistics, or with those of the batch"
    )
    projection: PositiveInt | None = Field(
        512, description="number of features after the projection, D; none: no projection"
    )
    affine_norm: bool = Field(False, description="learn a scale and a shift in the normalisation after the projection")
    frozen_depths: tuple[NonNegativeInt, ...] = Field(
        (0,), min_length=1, description="number of frozen backbone stages in each round; the last value is repeated"
    )


class ObjectiveConfig(Section):
    """The objective, and the mixture of inverse regression with the options of EM."""

    name: Literal["inverse_regression", "least_squares", "mixture_density"] = Field(
        "inverse_regression", description="name of the objective"
    )
    n_components: PositiveInt = Field(1, description="number of mixture components, K")
    covariance_type: Literal["isotropic", "diagonal", "full"] = Field("diagonal", description="structure of Σ")
    tied: bool = Field(False, description="use one Σ for all components")
    beta: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0,
        description="β, weight of −log p(x) in the network step: 0: the paper's step; 1: the conditional likelihood "
        "p(y | x)",
    )
    shrinkage: Share | Literal["oas"] = Field(
        0.0, description="share by which each M-step shrinks Σ towards its mean variance; oas: a closed-form estimate"
    )
    max_iter: PositiveInt = Field(100, description="maximum number of EM iterations in a round")
    tol: NonNegativeFloat = Field(
        1e-3, description="EM stops when the gain of an iteration is below this share of the total gain"
    )
    covariance_floor: Share = Field(
        1e-4, description="lower bound of the variances in Σ, as a share of the variance of the features"
    )
    frozen_rounds: NonNegativeInt = Field(
        2, description="number of rounds in which the responsibilities are those of the targets"
    )
    em_start: Literal["parameters", "targets"] = Field(
        "parameters", description="start of EM in a round: the last θ, or p(z | y), which leaves no component empty"
    )
    responsibilities: Literal["joint", "targets"] = Field(
        "joint", description="responsibilities of the network step: p(z | x, y), or p(z | y) as in the authors' code"
    )
    assignment: Literal["weighted", "sampled"] = Field(
        "weighted",
        description="assignment in the network step: the sum over k, or one k drawn for each picture, as in the "
        "authors' code",
    )
    network_noise: Literal["mixture", "diagonal", "tied_isotropic", "signal"] = Field(
        "mixture",
        description="Σ of the network step: that of the mixture, its diagonal, one σ² as in the authors' code, or the "
        "covariance that the targets explain, so that all targets have the same weight",
    )
    target_noise: NonNegativeFloat = Field(
        0.0,
        description="τ, variance added to the predictive covariances in the network step, as a share of that of the "
        "targets: increases the weight of targets that are hard to predict",
    )
    density_depth: NonNegativeInt | None = Field(
        None,
        description="number of backbone stages; a density of their output maps is added to log p(x); none: log p(x) of "
        "the features alone",
    )
    refit: bool = Field(
        True,
        description="after the last round, run EM (least squares: estimate the covariance) on training and validation "
        "people",
    )
    ridge: PositiveFloat = Field(
        1e-2, description="least squares, mixture density: strength of the ridge at the start of the linear layer"
    )


class ScheduleConfig(Section):
    """Rounds, epochs, optimizer and learning rate."""

    rounds: PositiveInt = Field(6, description="number of rounds: network epochs, then EM")
    epochs_per_round: PositiveInt = Field(2, description="number of network epochs in a round")
    em: Literal["stepwise", "round"] = Field(
        "stepwise",
        description="θ within a round: updated after the batches by stepwise EM, or fixed until the EM of the round",
    )
    em_window: PositiveFloat = Field(
        1.0, description="stepwise EM: window of the running averages in epochs; with a short one θ varies more"
    )
    em_every: PositiveInt = Field(2, description="stepwise EM: number of batches between two M-steps")
    batch_size: Annotated[int, Field(ge=2)] = Field(32, description="number of pictures in a batch")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, or SGD with Nesterov momentum")
    learning_rate: PositiveFloat = Field(5e-4, description="peak learning rate")
    learning_rate_schedule: Literal["cosine", "constant", "halving"] = Field(
        "cosine", description="cosine decay to 0 after a warm-up, constant, or halved every `halve_every` epochs"
    )
    halve_every: PositiveInt = Field(3, description="number of epochs between two halvings")
    warm_up: Share = Field(0.05, description="share of all steps with an increasing learning rate (cosine only)")
    momentum: Share = Field(0.9, description="momentum of SGD")
    weight_decay: NonNegativeFloat = Field(1e-2, description="weight decay: decoupled for adamw, classical for sgd")
    clip_norm: PositiveFloat | None = Field(1.0, description="maximum norm of the gradient; none: no limit")
    keep_epoch: Literal["last", "best"] = Field(
        "last",
        description="epoch of a round whose weights are kept: the last, or that with the lowest validation loss, as in "
        "the authors' code",
    )
    augmented_features: bool = Field(
        False, description="run EM on augmented training pictures instead of the original ones"
    )
    fixed_copies: NonNegativeInt = Field(
        0,
        description="number of augmented copies of each training picture, made once and used in every epoch together "
        "with the original, so that frozen stages are computed once; 0: new augmentation in every epoch",
    )
    half_cache: bool = Field(
        False, description="store the output of frozen stages in half precision, which halves the space on the disk"
    )
    select_by: Literal["mae", "nll"] = Field("mae", description="validation metric that selects the best round")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="seed of splits, order, augmentation, k-means")
    workers: NonNegativeInt = Field(0, description="number of processes that prepare pictures; 0: only the main one")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="precision of the network step: single, or bfloat16 where torch's autocast allows it"
    )
    compile: bool = Field(False, description="compile the network step with torch.compile, which needs a C++ compiler")
