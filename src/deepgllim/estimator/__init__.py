"""The scikit-learn face of the mixture: fitting (regressor), asking (predictions), files."""

from deepgllim.estimator.regressor import GLLiMRegressor

__all__ = ["GLLiMRegressor"]
