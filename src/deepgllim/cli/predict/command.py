"""The options of `deepgllim predict`."""

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
    no_detect: Switch = False,
    detector: Literal["blazeface", "centerface"] = "blazeface",
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
    """Predict the poses of all heads in images, videos or a camera stream.

    Angles are in degrees: +pitch looks up, +yaw turns the face toward the image's left, +roll tilts the head clockwise
    in the image. The number after ± is half the width of the interval with probability `--level`.

    ```
    deepgllim predict portrait.jpg
    deepgllim predict photos/ "more/*.jpg" --output faces.csv --save annotated/
    deepgllim predict walk.mp4 --output walk.parquet --save walk-drawn.mp4
    deepgllim predict camera:0 --output me.csv
    ```

    Inputs that fail are reported on standard error, and the other inputs are processed. The exit code is 0 for success,
    also if an image has no face; 1 if an input, the model or a file cannot be used; 2 for invalid arguments; 130 after
    Ctrl-C, except for a camera, which Ctrl-C ends with exit code 0.

    Args:
        inputs: Images, videos, folders with their subfolders, quoted patterns (`"photos/**/*.jpg"`), or `camera:0`.
        model: An exported model, `.onnx`; by default the model in the package.
        box: Box of a face in pixels of the upright image, `x0,y0,x1,y1`, without margin; can be repeated. Only for a
            single image.
        no_detect: Take each image as the crop of one face and run no face detector.
        detector: The face detector.
        output: Write a table with one row for each face to this file: `.csv`, `.jsonl` or `.parquet`.
        save: Write the image or video with drawn poses (x red, y green, nose blue) to this file, or for several inputs
            into this folder. Videos have no sound.
        level: Probability of each interval, between 0 and 1.
        json: Print JSON: one object for a single image, otherwise one line for each image or frame.
        field_of_view: Horizontal field of view of the camera in degrees. Poses are then relative to the axes of the
            camera, and not to the ray through the face.
        camera_matrix: Camera matrix, `fx,fy,cx,cy` in pixels, as in OpenCV; an alternative to `--field-of-view`.
        convention: Also report the angles in this convention.
        smooth: Smoothing of the poses in videos: `off`, `filter` (uses earlier frames) or `smoother` (uses earlier and
            later frames). By default `smoother` for files and `filter` for cameras.
        max_frames: Largest number of frames of each video or camera.
        batch: Number of images or frames in a batch; by default 16, for a camera 1.
        quiet: Print results and errors, but no progress and no notes.
        overwrite: Replace existing files of `--output` and `--save`.
        resume: Continue the `--output` of an interrupted run with the same options. Finished inputs are not processed
            again, and the table is the same as that of an uninterrupted run.
    """
    from deepgllim.cli.predict.run import Request, perform

    perform(
        Request(
            inputs=inputs,
            model=model,
            box=box,
            no_detect=no_detect,
            detector=detector,
            output=output,
            save=save,
            level=level,
            json=json,
            field_of_view=field_of_view,
            camera_matrix=camera_matrix,
            convention=convention,
            smooth=smooth,
            max_frames=max_frames,
            batch=batch,
            quiet=quiet,
            overwrite=overwrite,
            resume=resume,
        )
    )
