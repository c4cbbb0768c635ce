"""A call of `deepgllim predict`: checked as a whole, then done source by source."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deepgllim.cli.console import progress_bar
from deepgllim.cli.predict_inputs import (
    BATCH,
    camera_of,
    check_boxes,
    check_camera,
    parse_box,
    saves_to_file,
    smoothing_of,
)
from deepgllim.cli.predict_model import open_model
from deepgllim.cli.predict_outputs import CameraSink, Draw, JsonSink, PictureSink, Sink, TableSink, record_video
from deepgllim.cli.predict_screen import Screen
from deepgllim.cli.predict_tally import Tally, stop_on_interrupt
from deepgllim.cli.predict_targets import predict_targets
from deepgllim.errors import DeepGLLiMError
from deepgllim.pose.destinations import Destinations, file_destination, folder_destinations
from deepgllim.pose.predictor import HeadPose
from deepgllim.pose.reports import row_columns
from deepgllim.pose.scanning import Reading, Seen, scan_pictures, scan_video
from deepgllim.pose.sources import Source, Sources, find_sources
from deepgllim.pose.tables import TableWriter

if TYPE_CHECKING:
    from rich.progress import Progress

    from deepgllim.images import Box
    from deepgllim.pose.following import Smoothing
    from deepgllim.pose.scanning import Camera
    from deepgllim.pose.video import Frames


class Request(NamedTuple):
    """The options of a call, as `deepgllim.cli.predict.predict` documents them."""

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


class Plan(NamedTuple):
    """A call that can be done, as far as is known before the work starts.

    Attributes:
        request: the options.
        sources: what the inputs are.
        places: where annotated pictures and videos go.
        boxes: of the faces of the one picture, if they are given.
        camera: intrinsics, if they are given.
    """

    request: Request
    sources: Sources
    places: Destinations
    boxes: "list[Box] | None"
    camera: "Camera | None"

    def reading(self, source: Source) -> Reading:
        """How a source is read."""
        batch = self.request.batch or (1 if source.kind == "camera" else BATCH)
        smoothing = smoothing_of(source, self.request.smooth)
        return Reading(self.boxes, self.camera, batch, smoothing, self.request.max_frames)

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
        heads = open_model(request.model, None if request.whole or plan.boxes else request.detector, request.quiet)
        if not isinstance(heads, HeadPose):
            predict_targets(
                heads, plan.sources, plan.boxes or [], request.level, request.json, bool(writer or plan.places)
            )
            return
        tally = Tally(plan.sources)
        try:
            work(plan, heads, tally, writer)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                *([f"the rows so far are in {writer.part}"] if writer and writer.rows else [])
            ) from None
        if not tally.pictures + tally.frames:
            tally.judge()
    if not (request.quiet or request.json):
        tally.tell(request.output, request.save)
    if not request.quiet:
        tally.remark()
    tally.judge()


def planned(request: Request) -> Plan:
    """The sources and where they go; refused if anything cannot be."""
    sources = find_sources(request.inputs, besides=request.save)
    check_boxes(request.box, request.whole, sources)
    check_camera(sources, request.smooth)
    camera = camera_of(request.field_of_view, request.camera_matrix)
    boxes = [parse_box(text) for text in request.box] or None
    return Plan(request, sources, destinations(request, sources), boxes, camera)


def destinations(request: Request, sources: Sources) -> Destinations:
    """Where annotated pictures and videos go."""
    if request.save is None or not sources.found:
        return {}
    if saves_to_file(request.save, sources):
        return file_destination(sources.found[0], request.save, overwrite=request.overwrite)
    return folder_destinations(sources.found, request.save, overwrite=request.overwrite)


def table_writer(plan: Plan) -> TableWriter:
    """The table's file, with the columns that the sources need."""
    request, found = plan.request, plan.sources.found
    assert request.output is not None
    columns = row_columns(
        video=any(source.kind != "picture" for source in found),
        smoothed=any(smoothing_of(source, request.smooth) != "off" for source in found),
        convention=request.convention,
    )
    return TableWriter(request.output, columns, overwrite=request.overwrite)


def work(plan: Plan, heads: HeadPose, tally: Tally, writer: TableWriter | None) -> None:
    """Read all sources, and give each picture and frame to all sinks."""
    draw = Draw(plan.request.level, plan.camera)
    sinks = [tally, *make_sinks(plan, draw, writer)]
    for problem in plan.sources.problems:
        tally.fail(problem.error)
    with progress_bar(hidden=plan.request.quiet or plan.live) as bar, stop_on_interrupt(plan.live) as stopped:
        for is_picture, group in itertools.groupby(plan.sources.found, lambda source: source.kind == "picture"):
            if is_picture:
                scans = [read_pictures(plan, heads, list(group), tally, bar)]
            else:
                scans = [read_video(plan, heads, source, tally, draw, bar, stopped) for source in group]
            for seen in itertools.chain.from_iterable(scans):
                for sink in sinks:
                    sink.take(seen)
    for sink in sinks:
        sink.finish()


def make_sinks(plan: Plan, draw: Draw, writer: TableWriter | None) -> Iterator[Sink]:
    """What takes the faces: files first, then the screen."""
    request = plan.request
    if writer is not None:
        yield TableSink(writer, request.level, request.convention)
    if any(source.kind == "picture" for source in plan.places):
        yield PictureSink(plan.places, draw)
    if request.json:
        yield JsonSink(plan.of_one_picture, request.level, request.convention)
    elif plan.live:
        yield from () if request.quiet else (CameraSink(request.level),)
    elif writer is None:
        yield Screen(plan.sources.single, request.level, request.convention)


def read_pictures(
    plan: Plan, heads: HeadPose, pictures: Sequence[Source], tally: Tally, bar: "Progress"
) -> Iterator[Seen]:
    """The pictures that can be read."""
    task = bar.add_task("pictures", total=len(pictures))

    def fail(source: Source, error: DeepGLLiMError) -> None:
        tally.fail_at(source, error)
        bar.advance(task)

    for seen in scan_pictures(heads, pictures, fail, plan.reading(pictures[0])):
        yield seen
        bar.advance(task)
    bar.remove_task(task)


def read_video(
    plan: Plan,
    heads: HeadPose,
    source: Source,
    tally: Tally,
    draw: Draw,
    bar: "Progress",
    stopped: Callable[[], bool],
) -> Iterator[Seen]:
    """The frames of a video or camera, annotated on the way if that is asked for."""
    task, reading, place = bar.add_task(source.name, total=None), plan.reading(source), plan.places.get(source)
    twice = place is not None and reading.smoothing == "smoother"

    def step(count: int) -> bool:
        bar.advance(task, count)
        return stopped()

    def scan(opened: "Callable[[Frames], object]") -> Iterator[Seen]:
        def start(frames: "Frames") -> None:
            bar.update(task, total=frames.n_frames and frames.n_frames * (1 + twice))
            opened(frames)

        return scan_video(heads, source, tally.fail_at, reading, opened=start, ended=step)

    if place is None:
        yield from scan(lambda frames: None)
    else:
        yield from record_video(scan, place, draw, reading.max_frames, step)
    bar.remove_task(task)
