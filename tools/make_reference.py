"""Select the runs of other implementations that are committed as `tests/reference`.

    python tools/make_reference.py ../shared/reference --facemesh ../shared/data/facemesh_v2

The stored values are copied without change. A covariance that all components share is kept once. The features of
FaceMesh V2 are those of its published graph for two pictures of noise.
"""

import argparse
import csv
import re
from pathlib import Path

import numpy as np

from deepgllim.pose.runtime import open_session

OUTPUT = Path(__file__).parents[1] / "tests" / "reference"
TABLES = ("X", "Y", "Y_test", "r_K1", "r_K2", "r_K5")
GAUSSIAN = r"gllim_xllim_(K[25]_S[id]_Gfull_Pfree_Lw0_T100|K5_S[id]_Gfull_Pfree_Lw0_T1|K1_S(i|d|full)_Gfull_Pfree_Lw0_T5|K2_S[id]_(G(d|i)_Pfree|Gfull_Peq)_Lw0_T100)"  # noqa: E501
STUDENT = r"sllim_xllim_(K[25]_S[id]_Gfull_Pfree_Lw0_T100|K5_Sd_Gfull_Pfree_Lw0_T1)"
TEXTBOOK = r"xllim_(K[25]_Sd|K2_Si|K1_Sfull|K2_Sfulleq)_Lw[012]_T60"
ARCHIVES = {
    "reference_gllim_xllim": GAUSSIAN,
    "reference_sllim_xllim": STUDENT,
    "reference_textbook": TEXTBOOK,
}
"""Names of the files: the pattern of the runs that are kept."""


def select(stored: "np.lib.npyio.NpzFile", pattern: str) -> dict[str, np.ndarray]:
    """Return the arrays of the runs whose name matches, by "run/parameter"."""
    found = {key: stored[key] for key in stored.files if re.fullmatch(pattern, key.split("/")[0])}
    shared = [key for key in found if "_Sfulleq_" in key and key.endswith("/Sigma")]
    return found | {key: found[key][:1] for key in shared}


def facemesh_features(graph: Path) -> np.ndarray:
    """Return the output of the graph for two pictures of noise, (2, 1152), the channels before the rows."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 192, 192), dtype=np.uint8)
    session = open_session(str(graph))
    (features,) = session.run(None, {session.get_inputs()[0].name: pixels.astype(np.float32) / 255})
    return features.reshape(2, -1)


def main() -> None:
    """Write the tables, the runs and their list, and the features."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path, help="folder of all stored runs, with runs.tsv and data")
    parser.add_argument("--facemesh", type=Path, required=True, help="folder of facemesh_v2_trunk_192.onnx")
    options = parser.parse_args()
    source = options.reference
    OUTPUT.mkdir(exist_ok=True)
    features = facemesh_features(options.facemesh / "facemesh_v2_trunk_192.onnx")
    np.savez_compressed(OUTPUT / "facemesh_v2.npz", features=features)
    data = {
        f"xllim_{name}": np.loadtxt(source / "data" / f"xllim_{name}.csv", delimiter=",", ndmin=2) for name in TABLES
    }
    np.savez_compressed(OUTPUT / "data.npz", **data)
    for name, pattern in ARCHIVES.items():
        with np.load(source / f"{name}.npz") as stored:
            np.savez_compressed(OUTPUT / f"{name}.npz", **select(stored, pattern))
    with (source / "runs.tsv").open(newline="") as file:
        runs = [
            run for run in csv.DictReader(file, delimiter="\t") if re.fullmatch(f"{GAUSSIAN}|{STUDENT}", run["case"])
        ]
    with (OUTPUT / "runs.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(runs[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(runs)


if __name__ == "__main__":
    main()
