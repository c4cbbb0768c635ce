"""The run of `deepgllim predict`: all options are checked, and then the sources are processed."""

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
    check_boxes,
    check_camera,
    check_resume,
    make_camera,
    parse_box,
    saves_to_file,
    smoothing_for,
)
from deepgllim.cli.predict.outputs import CameraSink, Draw, ImageSink, JsonSink, Sink, TableSink, record_video
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
    """The options of `deepgllim.cli.predict.command.predict`."""

    inputs: Sequence[str]
    model: Path | None
    box: Sequence[str]
    no_detect: bool
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
    """A request whose options are valid.

    Attributes:
        request: the options.
        sources: the inputs.
        places: paths of annotated images and videos.
        boxes: boxes of the faces of a single image, if given.
        camera: function from the size of an image to the intrinsics, if given.
        columns: columns of the table.
    """

    request: Request
    sources: Sources
    places: Destinations
    boxes: "list[Box] | None"
    camera: "Camera | None"
    columns: list[str]

    def scan_options(self, source: Source) -> ScanOptions:
        """Return the options for scanning a source."""
        batch = self.request.batch or (1 if source.kind == "camera" else BATCH)
        smoothing = smoothing_for(source, self.request.smooth)
        return ScanOptions(self.boxes, self.camera, batch, smoothing, self.request.max_frames)

    @property
    def options(self) -> dict[str, Any]:
        """All options that the rows of the table depend on, as JSON values."""
        request = self.request
        left_out = {"output", "json", "quiet", "overwrite", "resume"}
        given = {name: value for name, value in request._asdict().items() if name not in left_out}
        save = None if request.save is None else str(request.save)
        return {**given, "model": digest(request.model), "save": save, "columns": self.columns, "version": __version__}

    @property
    def single_image(self) -> bool:
        """Whether the input is a single image."""
        return self.sources.single and self.sources.found[0].kind == "picture"

    @property
    def live(self) -> bool:
        """Whether the input is a camera."""
        return any(source.kind == "camera" for source in self.sources.found)


def perform(request: Request) -> None:
    """Check a request and process its sources.

    Raises:
        UsageError: options contradict each other.
        DeepGLLiMError: the run cannot start, or inputs failed.
    """
    plan = make_plan(request)
    with ExitStack() as stack:
        writer = None if request.output is None else stack.enter_context(table_writer(plan))
        if writer is not None and request.resume:  # the writer has locked the table
            remove_unfinished([writer.path, *plan.places.values()])
        else:
            remove_abandoned(plan.places.values())
        heads = HeadPose(request.model, None if request.no_detect or plan.boxes else request.detector)
        tally = Tally(plan.sources)
        try:
            Run(plan, heads, tally, writer).perform()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(*resume_hint(writer)) from None
        if not tally.images + tally.frames:
            tally.raise_failures()
    if not (request.quiet or request.json):
        tally.report(request.output, request.save)
    if not request.quiet:
        tally.report_notes()
    tally.raise_failures()


def make_plan(request: Request) -> Plan:
    """Find the sources and check the options."""
    sources = find_sources(request.inputs, excluded=request.save)
    check_boxes(request.box, request.no_detect, sources)
    check_camera(sources, request.smooth)
    check_resume(request.resume, request.output, sources)
    camera = make_camera(request.field_of_view, request.camera_matrix)
    boxes = [parse_box(text) for text in request.box] or None
    columns = row_columns(
        video=any(source.kind != "picture" for source in sources.found),
        smoothed=any(smoothing_for(source, request.smooth) != "off" for source in sources.found),
        convention=request.convention,
    )
    return Plan(request, sources, destinations(request, sources), boxes, camera, columns)


def destinations(request: Request, sources: Sources) -> Destinations:
    """Return the paths of annotated images and videos."""
    if request.save is None or not sources.found:
        return {}
    resumed = request.resume and request.output is not None and can_resume(request.output)
    overwrite = request.overwrite or resumed  # existing files are those of the interrupted run
    if saves_to_file(request.save, sources):
        return file_destination(sources.found[0], request.save, overwrite=overwrite)
    return folder_destinations(sources.found, request.save, overwrite=overwrite)


def table_writer(plan: Plan) -> TableWriter:
    """Return the writer of the table."""
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


def resume_hint(writer: TableWriter | None) -> list[str]:
    """Return the message of an interrupted run about its rows, if there are any."""
    if writer is None or not writer.rows:
        return []
    return [f"the rows so far are in {writer.part}; give the same command with --resume to continue"]


class Run:
    """Scans all sources and passes each image and frame to all sinks.

    Args:
        plan: the checked request.
        heads: the predictor.
        tally: the counts of images, frames, faces and failures.
        writer: writer of the table, if there is one; its finished sources are skipped.
    """

    def __init__(self, plan: Plan, heads: HeadPose, tally: Tally, writer: TableWriter | None) -> None:
        self._plan, self._heads, self._tally = plan, heads, tally
        self._draw = Draw(plan.request.level, plan.camera)
        finished = {} if writer is None else writer.finished
        self._todo = [source for source in plan.sources.found if source.path not in finished]
        tally.restore(finished.values())
        self._table = None if writer is None else TableSink(writer, plan.request.level, plan.request.convention)

    def perform(self) -> None:
        """Process all sources."""
        plan, sinks = self._plan, [self._tally, *self._sinks()]
        for problem in plan.sources.problems:
            self._tally.fail(problem.path, problem.error)
        with progress_bar(hidden=plan.request.quiet or plan.live) as bar, stop_on_interrupt(plan.live) as stopped:
            for is_image, group in itertools.groupby(self._todo, lambda source: source.kind == "picture"):
                if is_image:
                    scans = [self._scan_images(list(group), bar)]
                else:
                    scans = [self._scan_video(source, bar, stopped) for source in group]
                for scanned in itertools.chain.from_iterable(scans):
                    for sink in sinks:
                        sink.add(scanned)
        for sink in sinks:
            sink.finish()

    def _sinks(self) -> Iterator[Sink]:
        """Yield the sinks: files first, then standard output."""
        plan, request = self._plan, self._plan.request
        if self._table is not None:
            yield self._table
        if any(source.kind == "picture" for source in plan.places):
            yield ImageSink(plan.places, self._draw, self._unsaved)
        if request.json:
            yield JsonSink(plan.single_image, request.level, request.convention)
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

    def _scan_images(self, images: Sequence[Source], bar: "Progress") -> Iterator[ScanResult]:
        """Yield the results of images that can be read."""
        task = bar.add_task("images", total=len(images))

        def fail(source: Source, error: DeepGLLiMError) -> None:
            self._fail(source, error)
            bar.advance(task)

        options = self._plan.scan_options(images[0])
        for scanned in scan_pictures(self._heads, images, fail, options, ended=lambda count: self._finish_sources()):
            yield scanned
            bar.advance(task)
        bar.remove_task(task)

    def _scan_video(self, source: Source, bar: "Progress", stopped: Callable[[], bool]) -> Iterator[ScanResult]:
        """Yield the frames of a video or camera, and write the annotated video if requested."""
        options, place = self._plan.scan_options(source), self._plan.places.get(source)
        task = bar.add_task(visible(source.name), total=None)
        twice = place is not None and options.smoothing == "smoother"

        def step(count: int) -> bool:
            bar.advance(task, count)
            return stopped()

        def scan(opened: "Callable[[Frames], object]") -> Iterator[ScanResult]:
            def start(frames: "Frames") -> None:
                bar.update(task, total=frames.n_frames and frames.n_frames * (1 + twice))
                opened(frames)

            return scan_video(self._heads, source, self._fail, options, opened=start, ended=step)

        if place is None:
            yield from scan(lambda frames: None)
        else:
            unsaved = functools.partial(self._unsaved, source)
            yield from record_video(scan, place, self._draw, options.max_frames, step, unsaved)
        self._finish_sources()
        bar.remove_task(task)
