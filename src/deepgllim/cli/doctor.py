"""`deepgllim doctor`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from deepgllim.cli.console import complain, print_json, results, table
from deepgllim.cli.options import Source, Switch, Text, faces_with_any

Limit = Annotated[int, Parameter(validator=validators.Number(gte=1))]


def doctor(
    model: Path | None = None,
    /,
    *,
    data: Source,
    subjects: Text = None,
    limit: Limit = 300,
    json: Switch = False,
    skip_unreadable: Switch = False,
) -> None:
    """Measure how sensitive a model is to changes of the image and of the face box.

    For each change: how far the predicted pose turns from that of the picture as it is (mean and 90 % quantile,
    degrees), and the mean absolute error against the labels.

    ```
    deepgllim doctor --data pointing04:data/pointing04 --limit 300
    ```

    Args:
        model: An exported model, `.onnx`; by default the one in the package.
        subjects: Only these people, with commas between them.
        limit: Faces at most, evenly spaced.
        json: Print one JSON object and nothing else.
        skip_unreadable: Go on without pictures that cannot be read.
    """
    from deepgllim.evaluation.selection import evenly_spaced, readable_faces
    from deepgllim.evaluation.sensitivity import measure_sensitivity
    from deepgllim.pose.network import PoseNetwork
    from deepgllim.pose.predictor import default_model

    network = PoseNetwork(default_model() if model is None else model)
    chosen, left_out = readable_faces(
        evenly_spaced(faces_with_any(data, network.spec.targets, subjects), limit), skip_unreadable
    )
    if left_out:
        complain(f"left out {left_out} of {left_out + len(chosen)} pictures that cannot be read")
    found = measure_sensitivity(network, chosen)
    if json:
        print_json({"faces": len(chosen), "changes": found.to_dict(orient="records")})
        return
    results().print(f"{len(chosen)} faces; degrees")
    rows = found[["change", "strength", "deviation", "deviation_90", "error"]].to_numpy().tolist()
    results().print(table(["change", "strength", "deviation", "deviation, 90 %", "error"], rows))
