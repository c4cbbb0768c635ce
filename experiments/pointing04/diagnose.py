"""Where the error of the chosen models comes from, and whether log p(x) knows a face: after the main run.

`python -m experiments.pointing04.diagnose --data pointing04:DIR` reads the models that `experiments.pointing04` left in
`--work`. For each method: the error on the training people, on the test people, and on these after the mean error
of each person is taken off; and how well log p(x) tells the test faces from other things in the same pictures.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from deepgllim.data import Manifest
from deepgllim.nn.evaluation import Predictions
from deepgllim.nn.model import load_model
from deepgllim.runs import predict_manifest
from experiments import protocol

HERE = Path(__file__).parent


def without_bias(predicted: Predictions, people: np.ndarray) -> float:
    """The mean absolute error once every person's own mean error is known."""
    error = predicted.mean - predicted.targets
    bias = np.stack([error[people == person].mean(0) for person in people])
    return float(np.abs(error - bias).mean())


def beside(manifest: Manifest) -> Manifest:
    """Boxes of the faces' size in the upper corner that is farther from the face: wall, hair, nothing."""
    frame = manifest.frame.copy()
    width, height, left = frame.x1 - frame.x0, frame.y1 - frame.y0, (frame.x0 + frame.x1) / 2 > 192
    frame["x0"] = np.where(left, 0.0, 384.0 - width)
    frame["y0"] = 0.0
    frame["x1"], frame["y1"] = frame.x0 + width, height
    return Manifest(frame, manifest.targets)


def diagnose(work: Path, name: str, training: Manifest, test: Manifest) -> dict[str, Any]:
    """The figures of one model."""
    model = load_model(work / name / "model.safetensors")
    seen, faces, others = (predict_manifest(model, part) for part in (training, test, beside(test)))
    truth = np.repeat([1, 0], [len(test), len(test)])
    density = np.concatenate([faces.log_density, others.log_density])
    return {
        "training people": np.abs(seen.mean - seen.targets).mean(),
        "test people": np.abs(faces.mean - faces.targets).mean(),
        "without each person's bias": without_bias(faces, test.subjects),
        "AUROC of log p(x)": np.nan if np.isnan(density).any() else roc_auc_score(truth, density),
    }


def main() -> None:
    """Diagnose every chosen model; print means over seeds."""
    arguments = protocol.options(__doc__ or "", HERE)
    torch.set_num_threads(1)
    training = protocol.people(arguments.data, protocol.TRAINING_PEOPLE, arguments.quick)
    training = training.subset(np.arange(0, len(training), 4))
    test = protocol.people(arguments.data, protocol.TEST_PEOPLE, arguments.quick)
    rows = []
    for row in protocol.read_rows(HERE / "results.csv"):
        name = protocol.folder_name(row["method"], row["learning_rate"], row["fraction"], row["seed"])
        rows.append({"method": row["method"], **diagnose(arguments.work, name, training, test)})
    columns = [name for name in rows[0] if name != "method"]
    summary = protocol.mean_and_deviation(pd.DataFrame(rows), ["method"], columns)
    print(protocol.as_markdown(summary))
    protocol.write_rows(rows, arguments.output / "diagnosis.csv")


if __name__ == "__main__":
    main()
