"""`deepgllim doctor`."""

from pathlib import Path

from deepgllim.cli.console import complain, print_json, results, table
from deepgllim.cli.options import Count, Source, Switch, Text, exported_model, faces_with_any


def doctor(
    model: Path | None = None,
    /,
    *,
    data: Source,
    subjects: Text = None,
    limit: Count = 300,
    json: Switch = False,
    skip_unreadable: Switch = False,
) -> None:
    """Measure how sensitive a model is to changes of the image and of the face box.

    The changes are shifts and scalings of the face box, blur, noise, darkness, compression and occlusion. For each, the
    table has the angle between the predictions with and without the change (mean and 90 % quantile, degrees) and the
    mean absolute error against the labels.

    ```
    deepgllim doctor --data pointing04:data/pointing04 --limit 300
    ```

    Args:
        model: An exported model, `.onnx`, or `packaged` for the model in the package, which is the default.
        subjects: Comma-separated names of the people to use.
        limit: Largest number of faces, which are evenly spaced in the data set.
        json: Print a single JSON object instead of a table.
        skip_unreadable: Skip images that cannot be read.
    """
    from deepgllim.evaluation.selection import evenly_spaced, readable_faces
    from deepgllim.evaluation.sensitivity import measure_sensitivity
    from deepgllim.pose.network import PoseNetwork

    network = PoseNetwork(exported_model(model))
    chosen, left_out = readable_faces(
        evenly_spaced(faces_with_any(data, network.spec.targets, subjects), limit), skip_unreadable
    )
    if left_out:
        complain(f"left out {left_out} of {left_out + len(chosen)} images that cannot be read")
    found = measure_sensitivity(network, chosen)
    if json:
        print_json({"faces": len(chosen), "changes": found.to_dict(orient="records")})
        return
    results().print(f"{len(chosen)} faces; degrees")
    columns = ["change", "strength", "deviation", "deviation_90", "error"]
    headings = ["change", "strength", "deviation", "deviation, 90 %", "error"]
    results().print(table(headings, found[columns].to_numpy().tolist(), decimals=1))
    results().print("deviation: angle between the predictions with and without the change, mean and 90 % quantile")
    results().print("error: mean absolute error against the labels, too small if the model was trained on these people")
