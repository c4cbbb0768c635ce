"""A call of `deepgllim predict`: checked as a whole, then done source by source."""

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deepgllim import __version__
from deepgllim.cli.console import progress_bar
from deepgllim.cli.predict.inputs import (
    BATCH,
    camera_of,
    check_boxes,
    check_camera,
    check_resume,
    parse_box,
    saves_to_file,
    smoothing_of,
)
from deepgllim.cli.predict.outputs import CameraSink, Draw, JsonSink, PictureSink, Sink, TableSink, record_video
from deepgllim.cli.predict.screen import Screen
from deepgllim.cli.predict.tally import Tally, stop_on_interrupt
from deepgllim.cli.streams import visible
from deepgllim.errors import DeepGLLiMError, ModelError
from deepgllim.pose.batch.destinations import Destinations, file_destination, folder_destinations
from deepgllim.pose.batch.reports import row_columns
from deepgllim.pose.batch.scanning import ScanOptions, ScanResult, scan_pictures, scan_video
from deepgllim.pose.batch.sources import Source, Sources, find_sources
from deepgllim.pose.batch.tables import TableWriter, can_resume
from deepgllim.pose.predictor import HeadPose, default_model
from deepgllim.storage import remove_abandoned, remove_unfinished

if TYPE_CHECKING:
    from rich.progress import Progress

    from deepgllim.imaging.images import Box
    from deepgllim.pose.batch.scanning import Camera
    from deepgllim.pose.video.following import Smoothing
    from deepgllim.pose.video.frames import Frames


class Request(NamedTuple):
    """The options of a call, as `deepgllim.cli.predict.command.predict` documents them."""

    inputs: Sequence[str]
    model: Path | None
    box: Sequence[str]
    whole: bool
    detector: str
    output: Path | None
    save: Path | None
    level: float
    json: bool
    field_of_view: float | None
    camera_matrix: str | None
    convention: str | None
    smooth: "Smoothing | None"
    max_frames: int | None
    batch: int | None
    quiet: bool
    overwrite: bool
    resume: bool


class Plan(NamedTuple):
    """A call that can be done, as far as is known before the work starts.

    Attributes:
        request: the options.
        sources: what the inputs are.
        places: where annotated pictures and videos go.
        boxes: of the faces of the one picture, if they are given.
        camera: intrinsics, if they are given.
        columns: of the table.
    """

    request: Request
    sources: Sources
    places: Destinations
    boxes: "list[Box] | None"
    camera: "Camera | None"
    columns: list[str]

    def reading(self, source: Source) -> ScanOptions:
        """How a source is read."""
        batch = self.request.batch or (1 if source.kind == "camera" else BATCH)
        smoothing = smoothing_of(source, self.request.smooth)
        return ScanOptions(self.boxes, self.camera, batch, smoothing, self.request.max_frames)

    @property
    def options(self) -> dict[str, Any]:
        """All that the rows of the table depend on, as JSON holds it."""
        asked = self.request
        left_out = {"output", "json", "quiet", "overwrite", "resume"}
        given = {name: value for name, value in asked._asdict().items() if name not in left_out}
        save = None if asked.save is None else str(asked.save)
        return {**given, "model": digest(asked.model), "save": save, "columns": self.columns, "version": __version__}

    @property
    def of_one_picture(self) -> bool:
        """Whether one picture was named, and nothing else."""
        return self.sources.single and self.sources.found[0].kind == "picture"

    @property
    def live(self) -> bool:
        """Whether it is a camera that is read."""
        return any(source.kind == "camera" for source in self.sources.found)


def perform(request: Request) -> None:
    """Check everything, then do it.

    Raises:
        UsageError: options that do not go together.
        DeepGLLiMError: what stops the whole call; or at its end, if inputs failed.
    """
    plan = planned(request)
    with ExitStack() as stack:
        writer = None if request.output is None else stack.enter_context(table_writer(plan))
        if writer is not None and request.resume:  # which has the table for itself
            remove_unfinished([writer.path, *plan.places.values()])
        else:
            remove_abandoned(plan.places.values())
        heads = HeadPose(request.model, None if request.whole or plan.boxes else request.detector)
        tally = Tally(plan.sources)
        try:
            Work(plan, heads, tally, writer).perform()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(*kept(writer)) from None
        if not tally.pictures + tally.frames:
            tally.judge()
    if not (request.quiet or request.json):
        tally.tell(request.output, request.save)
    if not request.quiet:
        tally.remark()
    tally.judge()


def planned(request: Request) -> Plan:
    """The sources and where they go; refused if anything cannot be."""
    sources = find_sources(request.inputs, excluded=request.save)
    check_boxes(request.box, request.whole, sources)
    check_camera(sources, request.smooth)
    check_resume(request.resume, request.output, sources)
    camera = camera_of(request.field_of_view, request.camera_matrix)
    boxes = [parse_box(text) for text in request.box] or None
    columns = row_columns(
        video=any(source.kind != "picture" for source in sources.found),
        smoothed=any(smoothing_of(source, request.smooth) != "off" for source in sources.found),
        convention=request.convention,
    )
    return Plan(request, sources, destinations(request, sources), boxes, camera, columns)


def destinations(request: Request, sources: Sources) -> Destinations:
    """Where annotated pictures and videos go."""
    if request.save is None or not sources.found:
        return {}
    resumed = request.resume and request.output is not None and can_resume(request.output)
    overwrite = request.overwrite or resumed  # what is there is of the run that goes on
    if saves_to_file(request.save, sources):
        return file_destination(sources.found[0], request.save, overwrite=overwrite)
    return folder_destinations(sources.found, request.save, overwrite=overwrite)


def table_writer(plan: Plan) -> TableWriter:
    """The table's file, with the columns that the sources need."""
    request = plan.request
    assert request.output is not None
    return TableWriter(
        request.output, plan.columns, overwrite=request.overwrite, options=plan.options, resume=request.resume
    )


def digest(path: Path | None) -> str | None:
    """Return a digest of the file of a model, or None if it cannot be read."""
    try:
        with (default_model() if path is None else path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except (OSError, ModelError):
        return None


def kept(writer: TableWriter | None) -> list[str]:
    """What an interrupted run says of its rows."""
    if writer is None or not writer.rows:
        return []
    return [f"the rows so far are in {writer.part}; give the same command with --resume to go on"]


class Work:
    """All sources read, and each picture and frame given to all sinks.

    Args:
        plan: what is to be done.
        heads: the predictor.
        tally: counts it.
        writer: of the table, if there is one; the sources that it has are left out.
    """

    def __init__(self, plan: Plan, heads: HeadPose, tally: Tally, writer: TableWriter | None) -> None:
        self._plan, self._heads, self._tally = plan, heads, tally
        self._draw = Draw(plan.request.level, plan.camera)
        finished = {} if writer is None else writer.finished
        self._todo = [source for source in plan.sources.found if source.path not in finished]
        tally.restore(finished.values())
        self._table = None if writer is None else TableSink(writer, plan.request.level, plan.request.convention)

    def perform(self) -> None:
        """Do it."""
        plan, sinks = self._plan, [self._tally, *self._sinks()]
        for problem in plan.sources.problems:
            self._tally.fail(problem.path, problem.error)
        with progress_bar(hidden=plan.request.quiet or plan.live) as bar, stop_on_interrupt(plan.live) as stopped:
            for is_picture, group in itertools.groupby(self._todo, lambda source: source.kind == "picture"):
                if is_picture:
                    scans = [self._read_pictures(list(group), bar)]
                else:
                    scans = [self._read_video(source, bar, stopped) for source in group]
                for seen in itertools.chain.from_iterable(scans):
                    for sink in sinks:
                        sink.take(seen)
        for sink in sinks:
            sink.finish()

    def _sinks(self) -> Iterator[Sink]:
        """What takes the faces: files first, then the screen."""
        plan, request = self._plan, self._plan.request
        if self._table is not None:
            yield self._table
        if any(source.kind == "picture" for source in plan.places):
            yield PictureSink(plan.places, self._draw, self._unsaved)
        if request.json:
            yield JsonSink(plan.of_one_picture, request.level, request.convention)
        elif plan.live:
            yield from () if request.quiet else (CameraSink(request.level),)
        elif self._table is None:
            yield Screen(plan.sources.single, request.level, request.convention)

    def _fail(self, source: Source, error: DeepGLLiMError) -> None:
        self._tally.fail_at(source, error)
        if self._table is not None:
            self._table.fail(source, error)

    def _unsaved(self, source: Source, error: DeepGLLiMError) -> None:
        self._tally.unsaved += 1
        self._tally.fail(source.path, error)
        if self._table is not None:
            self._table.fail(source, error)

    def _finish_sources(self) -> None:
        if self._table is not None:
            self._table.finish_sources()

    def _read_pictures(self, pictures: Sequence[Source], bar: "Progress") -> Iterator[ScanResult]:
        """The pictures that can be read."""
        task = bar.add_task("pictures", total=len(pictures))

        def fail(source: Source, error: DeepGLLiMError) -> None:
            self._fail(source, error)
            bar.advance(task)

        reading = self._plan.reading(pictures[0])
        for seen in scan_pictures(self._heads, pictures, fail, reading, ended=lambda count: self._finish_sources()):
            yield seen
            bar.advance(task)
        bar.remove_task(task)

    def _read_video(self, source: Source, bar: "Progress", stopped: Callable[[], bool]) -> Iterator[ScanResult]:
        """The frames of a video or camera, annotated on the way if that is asked for."""
        reading, place = self._plan.reading(source), self._plan.places.get(source)
        task = bar.add_task(visible(source.name), total=None)
        twice = place is not None and reading.smoothing == "smoother"

        def step(count: int) -> bool:
            bar.advance(task, count)
            return stopped()

        def scan(opened: "Callable[[Frames], object]") -> Iterator[ScanResult]:
            def start(frames: "Frames") -> None:
                bar.update(task, total=frames.n_frames and frames.n_frames * (1 + twice))
                opened(frames)

            return scan_video(self._heads, source, self._fail, reading, opened=start, ended=step)

        if place is None:
            yield from scan(lambda frames: None)
        else:
            unsaved = functools.partial(self._unsaved, source)
            yield from record_video(scan, place, self._draw, reading.max_frames, step, unsaved)
        self._finish_sources()
        bar.remove_task(task)
