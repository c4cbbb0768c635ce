"""The mixture as a scikit-learn estimator."""

from deepgllim.estimator.regressor import GLLiMRegressor

__all__ = ["GLLiMRegressor"]
