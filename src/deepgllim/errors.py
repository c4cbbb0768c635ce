"""The exceptions of the package: one tree, each message naming the value, the cause and the remedy."""


class DeepGLLiMError(Exception):
    """Anything the package refuses or cannot do. Catch this one to catch them all."""


class DataError(DeepGLLiMError, ValueError):
    """A data set, manifest, label or array that cannot be used as it is."""


class ImageError(DataError):
    """A picture that cannot be read, or a box that does not lie on it."""


class ModelError(DeepGLLiMError):
    """A model, weights or checkpoint file that is truncated, of another format or version, or unknown by name."""


class ConfigurationError(DeepGLLiMError, ValueError):
    """A recipe or option that is unknown, contradictory or out of range."""


class RenderError(DeepGLLiMError):
    """Pictures cannot be rendered on this machine: moderngl, EGL or a driver is missing."""


class NumericalError(DeepGLLiMError, ArithmeticError):
    """A computation with no finite answer for the given data, such as a singular covariance."""


class ProcessError(DeepGLLiMError):
    """Another process of a training with several processes has ended or does not answer."""


class EmptyComponentWarning(UserWarning):
    """A mixture component lost its samples and was removed."""


class SingularCovarianceWarning(UserWarning):
    """A noise covariance sits on its floor: the data do not determine it."""


class ConvergenceWarning(UserWarning):
    """EM stopped before its gain fell under the tolerance, or its log-likelihood fell."""


class TrainingWarning(UserWarning):
    """A round of a training ended badly and was undone."""


class DamagedVideoWarning(UserWarning):
    """A video ended before its header says, or held frames that could not be decoded."""
