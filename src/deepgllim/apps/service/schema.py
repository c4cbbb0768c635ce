"""The schema of the answers, for OpenAPI: the records of `Pose.to_json`, described."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Row = Annotated[list[float], Field(min_length=3, max_length=3)]
Matrix = Annotated[list[Row], Field(min_length=3, max_length=3)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Angles(_Record):
    """Angles of the head in degrees."""

    pitch: float = Field(description="positive upwards")
    yaw: float = Field(description="positive toward the image's left")
    roll: float = Field(description="positive clockwise in the image")


class NeckAngles(_Record):
    """The same pose as angles of the neck in degrees, which are not singular at profile."""

    tilt: float = Field(description="positive upwards")
    pan: float = Field(description="positive toward the image's left")
    neck_roll: float = Field(description="positive clockwise in the image")


class Interval(_Record):
    """Intervals that contain each angle with the probability `level`."""

    level: float
    lower: Angles
    upper: Angles


class Mode(Angles):
    """A local maximum of the predicted density; there are several if several poses fit the face."""

    probability: float = Field(ge=0, le=1)
    rotation: Matrix
    rotation_covariance: Matrix


class FaceRecord(_Record):
    """The pose of one face, as `deepgllim.pose.Pose.from_json` reads it, with the covariance of the angles."""

    convention: str = Field(description="the convention of the angles and of the rotation")
    units: str = Field(description="the unit of the angles: degrees")
    angles: Angles
    covariance: Matrix = Field(description="joint covariance of pitch, yaw and roll, degrees²")
    interval: Interval
    neck_angles: NeckAngles
    near_gimbal_lock: bool = Field(description="whether |yaw| is above 80 degrees; then use the neck angles")
    unknown: list[str] = Field(description="names of the angles that the model does not predict")
    rotation: Matrix = Field(description="rotation from the frame of the head to that of the camera")
    rotation_covariance: Matrix = Field(description="covariance of a small rotation, degrees²")
    modes: list[Mode] = Field(min_length=1, description="the highest first")
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = Field(
        description="x0, y0, x1, y1 in pixels of the upright picture"
    )
    detection_score: float | None = Field(description="confidence of the face detector, 0 to 1")
    log_density: float | None = Field(description="log p(x): low for pictures unlike the training data")
    in_distribution: bool | None = Field(description="whether the face is accepted as one like the training data")
    calibration: dict[str, Any] | None = Field(description="calibration of the intervals")
    description: str = Field(description="the pose in words")


class PosesAnswer(_Record):
    """The poses of all faces of a picture."""

    width: int = Field(description="of the upright picture, pixels")
    height: int
    faces: list[FaceRecord]


class State(_Record):
    """The state of the server."""

    status: str


class Failure(_Record):
    """The reason why a request is rejected: value, cause and remedy in one line."""

    error: str
