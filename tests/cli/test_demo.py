"""`deepgllim demo`: its printed output as text and as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepgllim.apps.demo import DemoResult

Call = Callable[..., Any]

FACE: dict[str, Any] = {
    "image": "heads/images/0040.jpg",
    "box": [1.0, 2.0, 51.0, 62.0],
    "targets": {
        "pitch": {"mean": -12.25, "lower": -20.0, "upper": -4.0},
        "yaw": {"mean": 21.0, "lower": 11.0, "upper": 31.0},
        "roll": {"mean": 0.0, "lower": -3.0, "upper": 3.0},
    },
    "log_density": -31.24,
    "true": {"pitch": -10.0, "yaw": 20.0, "roll": 0.5},
}


class Stub:
    """A replacement of `run_demo` without the training, which records its arguments."""

    def __init__(self) -> None:
        self.arguments: dict[str, Any] = {}

    def __call__(self, output: Path, seed: int = 0, **options: Any) -> DemoResult:
        self.arguments = {"output": output, "seed": seed, **options}
        output.mkdir(parents=True, exist_ok=True)
        (output / "report.html").write_text(f"seed {seed}")
        options["announce"]("least squares: 12 pictures")
        rows: list[dict[str, float | str]] = [{"method": "least squares", "mean": 0.25, "AUROC": float("nan")}]
        return DemoResult(rows, [FACE], output / "report.html", ["deepgllim predict x.jpg", "deepgllim train"], 12.3)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setattr("deepgllim.apps.demo.run_demo", stub)
    return stub


def test_the_output_ends_with_the_report_and_the_commands(call: Call, stub: Stub, tmp_path: Path) -> None:
    called = call("demo", "--output", tmp_path / "demo", "--seed", 4, "--quick")
    assert called.code == 0
    assert {name: stub.arguments[name] for name in ("seed", "quick", "overwrite")} == {
        "seed": 4,
        "quick": True,
        "overwrite": False,
    }
    assert all(text in called.out for text in ("least squares", "0.250"))
    assert called.out.splitlines()[-5:] == [
        f"report: {tmp_path / 'demo' / 'report.html'}  (12 s)",
        "",
        "to try next:",
        "  deepgllim predict x.jpg",
        "  deepgllim train",
    ]
    assert "12 pictures" in called.err
    assert "12 pictures" not in called.out


def test_each_face_is_a_line_with_intervals_and_true_angles(call: Call, stub: Stub, tmp_path: Path) -> None:
    (line,) = (
        line for line in call("demo", "--output", tmp_path / "demo").out.splitlines() if line.startswith("0040.jpg")
    )
    assert line == (
        "0040.jpg: pitch -12.2° (-20.0° to -4.0°; true -10.0°), yaw +21.0° (+11.0° to +31.0°; true +20.0°), "
        "roll +0.0° (-3.0° to +3.0°; true +0.5°), log p(x) -31.2"
    )


def test_the_json_output_is_one_document(call: Call, stub: Stub, tmp_path: Path) -> None:
    called = call("demo", "--output", tmp_path / "demo", "--json")
    assert called.err == ""
    known = json.loads(called.out)
    assert known["rows"] == [{"method": "least squares", "mean": 0.25, "AUROC": None}]
    assert known["report"] == str(tmp_path / "demo" / "report.html")
    assert known["commands"] == ["deepgllim predict x.jpg", "deepgllim train"]
    assert known["faces"] == [FACE]


def test_a_folder_with_files_is_not_overwritten(call: Call, refused: Call, stub: Stub, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    call("demo", "--output", output)
    assert "--overwrite" in refused("demo", "--output", output, "--seed", 3).err
    assert (output / "report.html").read_text() == "seed 0"
    assert call("demo", "--output", output, "--seed", 3, "--overwrite").code == 0
    assert (output / "report.html").read_text() == "seed 3"
    assert stub.arguments["overwrite"] is True
