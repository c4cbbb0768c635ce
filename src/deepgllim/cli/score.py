"""`deepgllim score`."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from deepgllim.cli.console import complain, counted, progress_bar, results
from deepgllim.cli.options import Count, Probability, Switch, UsageError
from deepgllim.cli.streams import visible
from deepgllim.errors import DataError, DeepGLLiMError

if TYPE_CHECKING:
    from deepgllim.pose.scoring import ShardResult

Input = Annotated[str, Parameter(name="INPUT", required=True)]
OptionalModel = Annotated[Path | None, Parameter(env_var="DEEPGLLIM_MODEL", show_default=False)]
OptionalCount = Annotated[Count | None, Parameter(show_default=False)]


class ShardsFailedError(DeepGLLiMError):
    """Some shards failed; each failure was reported."""


def score(
    source: Input,
    /,
    *,
    output: Path,
    engine: Literal["local", "ray"] = "local",
    workers: OptionalCount = None,
    model: OptionalModel = None,
    detector: Literal["blazeface", "centerface"] = "blazeface",
    no_detect: Switch = False,
    level: Probability = 0.9,
    shard_size: Count = 1000,
    batch: Count = 16,
    threads: Count = 1,
    image_column: str | None = None,
    quiet: Switch = False,
) -> None:
    """Predict the poses of all heads in a large set of pictures, and write Parquet files.

    The input is a folder, a manifest, WebDataset archives, Parquet files with pictures, or the address of one of them,
    such as `s3://bucket/faces/`. Each archive, each Parquet file and each group of `--shard-size` pictures gives one
    Parquet file, with rows for faces, for pictures without a face and for pictures that failed.

    ```
    deepgllim score photos/ --output scores
    deepgllim score "shards/*.tar" --output scores --engine ray --workers 8
    deepgllim score s3://bucket/faces/manifest.csv --output scores
    ```

    The same command continues an interrupted run: files that are finished are not written again. The exit code is 0 for
    success, also if pictures failed; 1 if a shard is damaged or cannot be read, or a file cannot be written.

    Args:
        source: A folder; a manifest, `.csv` or `.parquet` with a column `path`; an archive, `.tar`; a `.parquet` with
            pictures; a quoted pattern; or an address, `s3://`, `gs://`, `az://`.
        output: The folder to write to.
        engine: `local` for this process, `ray` for processes of Ray on this machine or on the cluster of the
            environment variable RAY_ADDRESS.
        workers: Number of processes of Ray; by default one for each processor.
        model: An exported model, `.onnx`; by default the model in the package.
        detector: The face detector.
        no_detect: Take each picture as the crop of one face and run no face detector.
        level: Probability of each interval, between 0 and 1.
        shard_size: Number of pictures in each file of a folder or manifest.
        batch: Number of pictures that are predicted together.
        threads: Number of threads of each process.
        image_column: Name of the column of pictures in Parquet files; by default `image`, `jpg`, `png`, `bytes` or
            similar.
        quiet: Print errors only.
    """
    from deepgllim.pose.scoring.model import model_digest
    from deepgllim.pose.scoring.options import ScoringOptions
    from deepgllim.pose.scoring.run import score

    # `Path` keeps one slash of an address; a drive of Windows has one letter
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(output)):
        raise UsageError(f"--output {output} is an address: give a local folder")
    if not source:
        raise UsageError("the input is empty: give a folder, a file or an address")
    path = None if model is None else str(model.absolute())
    options = ScoringOptions(
        model=path,
        digest=model_digest(path),
        detector=None if no_detect else detector,
        level=level,
        batch=batch,
        shard_size=shard_size,
        image_column=image_column,
        threads=threads,
    )
    try:
        _report(score(source, output, options, engine, workers), output, quiet)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command continues with the shards that are not finished") from None


def _report(found: Iterable["ShardResult"], output: Path, quiet: bool) -> None:
    """Report failures as they occur, and the counts at the end.

    Raises:
        DataError: the output cannot be written.
        ShardsFailedError: some shards failed.
    """
    counts: Counter[str] = Counter()
    with progress_bar(hidden=quiet) as bar:
        task = bar.add_task("shards", total=None)
        for shard in found:
            if shard.fatal:
                raise DataError(f"{shard.problem}; finished files are kept: the same command continues")
            if shard.problem is not None:
                complain(f"{visible(shard.name)}: {shard.problem}")
            for name in ("pictures", "faces", "without_face", "failed"):
                counts[name] += getattr(shard, name)
            counts.update(shards=1, reused=shard.reused, problems=shard.problem is not None)
            bar.advance(task)
    if not quiet:
        results().print(f"scores: {output} ({_summary(counts)})")
    if counts["problems"]:
        raise ShardsFailedError(
            f"{counts['problems']} of {counted(counts['shards'], 'shard')} failed: see the lines above"
        )


def _summary(counts: "Counter[str]") -> str:
    """Return the counts in words.

    Example:
        >>> _summary(Counter(shards=3, reused=1, pictures=12, faces=10, without_face=2, failed=1))
        '3 shards, 1 of them finished before; 12 pictures, 10 faces, 2 pictures without a face, 1 failed'
    """
    before = f", {counts['reused']} of them finished before" if counts["reused"] else ""
    shards, pictures, faces = (counted(counts[f"{name}s"], name) for name in ("shard", "picture", "face"))
    return (
        f"{shards}{before}; {pictures}, {faces}, {counted(counts['without_face'], 'picture')} without a face, "
        f"{counts['failed']:,} failed"
    )
