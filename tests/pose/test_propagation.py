"""Tests of covariances of angles and small rotations: by differences, samples and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import (
    ANGLES,
    NECK_ANGLES,
    Array,
    rotation_from_angles,
    rotation_from_pan_tilt,
    vector_from_rotation,
)
from deepgllim.pose.propagation import angle_covariance, rotation_covariance, rotation_jacobian

properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)
ordinary = st.tuples(st.floats(-80, 80), st.floats(-80, 80), st.floats(-170, 170))


def rotation(names: tuple[str, ...], angles: Array) -> Array:
    first, second, third = angles
    return (
        rotation_from_angles(first, second, third) if names == ANGLES else rotation_from_pan_tilt(second, first, third)
    )


def random_covariance(scale: float = 1.0) -> Array:
    root = np.array([[3.0, 0.0, 0.0], [1.0, 2.0, 0.0], [-1.0, 0.5, 4.0]]) * scale
    return root @ root.T


@pytest.mark.parametrize("names", [ANGLES, NECK_ANGLES])
@properties
@given(ordinary)
def test_the_jacobian_is_the_derivative(names: tuple[str, ...], angles: tuple[float, float, float]) -> None:
    middle, step = np.array(angles), 1e-4
    differences = [
        vector_from_rotation(rotation(names, middle + step * e) @ rotation(names, middle - step * e).T) / (2 * step)
        for e in np.eye(3)
    ]
    # the error of a central difference is of the order of the squared step, in radians
    np.testing.assert_allclose(rotation_jacobian(names, middle), np.column_stack(differences), atol=1e-9)


@pytest.mark.parametrize(("names", "which"), [(ANGLES, 1), (NECK_ANGLES, 0)])
@properties
@given(ordinary)
def test_its_determinant_is_a_cosine(names: tuple[str, ...], which: int, angles: tuple[float, float, float]) -> None:
    determinant = np.linalg.det(rotation_jacobian(names, np.array(angles)))
    assert determinant == pytest.approx(-np.cos(np.radians(angles[which])), abs=1e-12)


@pytest.mark.parametrize("names", [ANGLES, NECK_ANGLES])
@properties
@given(ordinary)
def test_covariances_invert(names: tuple[str, ...], angles: tuple[float, float, float]) -> None:
    there = rotation_covariance(names, np.array(angles), random_covariance())
    assert np.linalg.eigvalsh(there)[0] > 0
    np.testing.assert_allclose(angle_covariance(names, np.array(angles), there), random_covariance(), atol=1e-8)


def test_samples_spread_as_predicted() -> None:
    angles, covariance = np.array([20.0, 40.0, -10.0]), random_covariance(0.1)
    drawn = np.random.default_rng(0).multivariate_normal(angles, covariance, 20_000)
    deltas = vector_from_rotation(rotation_from_angles(*drawn.T) @ rotation_from_angles(*angles).T)
    found, expected = np.cov(deltas.T), rotation_covariance(ANGLES, angles, covariance)
    # 20,000 samples: 1 % of a variance is one standard error
    assert np.abs(found - expected).max() < 0.05 * np.diag(expected).max()


def test_the_frontal_head_by_hand() -> None:
    """Pitch rotates about −x there, yaw about y and roll about z."""
    covariance = np.array([[4.0, 1.0, 2.0], [1.0, 9.0, 3.0], [2.0, 3.0, 16.0]])
    signs = np.diag([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(rotation_covariance(ANGLES, np.zeros(3), covariance), signs @ covariance @ signs)


def test_at_gimbal_lock_covariances_stay_finite_and_definite() -> None:
    for names, angles in ((ANGLES, [0.0, 90.0, 0.0]), (NECK_ANGLES, [90.0, 20.0, 0.0])):
        small = rotation_covariance(names, np.array(angles), np.eye(3))
        assert np.linalg.eigvalsh(small)[0] == pytest.approx(1e-6)
        large = angle_covariance(names, np.array(angles), np.eye(3))
        assert np.isfinite(large).all()
        assert np.sqrt(large.max()) == pytest.approx(1000, rel=1e-3)  # one over the smallest cosine


def test_other_angles_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="angles yaw, pitch, roll: use pitch, yaw, roll or tilt, pan, neck_roll"
    ):
        rotation_jacobian(("yaw", "pitch", "roll"), np.zeros(3))
