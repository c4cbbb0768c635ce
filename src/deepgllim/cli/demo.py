"""`deepgllim demo`."""

from pathlib import Path

from deepgllim.cli.console import print_json, results, table
from deepgllim.cli.options import Switch, refuse_existing


def demo(*, output: Path = Path("demo"), overwrite: Switch = False, seed: int = 0, json: Switch = False) -> None:
    """Reproduce the paper's figure 2 on a toy, in seconds: three methods, a table and a picture.

    ```
    deepgllim demo --output runs/demo
    ```

    Args:
        output: Folder for the picture `figure2.png` and the models.
        overwrite: Write into the folder even if there is something in it.
        seed: Of the data, the network and the training.
        json: Print one JSON object and nothing else.
    """
    from deepgllim.demo import run_demo

    refuse_existing(output, overwrite)
    result = run_demo(output, seed)
    if json:
        print_json({"rows": result.rows, "figure": str(result.figure)})
        return
    columns = list(result.rows[0])
    results().print(table(columns, [[row[name] for name in columns] for row in result.rows]))
    results().print(f"figure: {result.figure}")
