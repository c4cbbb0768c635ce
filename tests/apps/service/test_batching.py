"""Batches of concurrent pictures: their sizes, their waiting, and failures of single pictures."""

import asyncio
from collections.abc import Sequence

import pytest
from PIL import Image

from deepgllim.apps.service.batching import AbandonedError, Batcher, Poses
from deepgllim.apps.service.options import ServiceOptions
from deepgllim.apps.service.record import RequestRecord
from deepgllim.errors import ConfigurationError
from tests.apps.service.predictors import RecordingBatches

LONG = 60.0  # seconds that no test waits


def image(red: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (red, 100, 90))


async def decoded(red: int) -> Image.Image:
    return image(red)


class Run:
    """A batcher with its predictor and the observed sizes."""

    def __init__(self, **options: float) -> None:
        self.predictor, self.observed = RecordingBatches(), list[int]()
        chosen: dict[str, object] = {"batch_size": 4, "batch_wait": LONG, **options}
        made = ServiceOptions(**chosen)  # type: ignore[arg-type]
        self.batcher = Batcher(self.predictor, made, lambda size, _: self.observed.append(size))
        self.records: list[RequestRecord] = []

    def predict(self, red: int) -> "asyncio.Task[tuple[Image.Image, Poses]]":
        self.records.append(record := RequestRecord(str(red)))
        return asyncio.create_task(self.batcher.predict(lambda: decoded(red), record))


def yaws(results: Sequence[tuple[Image.Image, Poses]]) -> list[float]:
    return [poses[0].yaw for _, poses in results]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_pictures_that_arrive_together_share_batches_and_get_their_own_poses() -> None:
    async def run() -> None:
        each = Run()
        results = await asyncio.gather(*(each.predict(100 + n) for n in range(10)))
        assert yaws(results) == pytest.approx([n - 28 for n in range(10)])
        assert sum(each.predictor.sizes) == 10
        assert max(each.predictor.sizes) <= 4
        assert each.observed == each.predictor.sizes
        assert {record.batch for record in each.records} == set(each.predictor.sizes)
        assert set(each.records[0].seconds) == {"wait", "predict"}

    asyncio.run(run())


def test_a_single_picture_does_not_wait_for_others() -> None:
    async def run() -> None:
        each = Run()
        async with asyncio.timeout(LONG / 2):
            assert yaws([await each.predict(130)]) == pytest.approx([2])

    asyncio.run(run())


def test_a_picture_waits_for_one_that_is_being_decoded() -> None:
    async def run() -> None:
        each, gate = Run(), asyncio.Event()

        async def slow() -> Image.Image:
            await gate.wait()
            return image(140)

        late = asyncio.create_task(each.batcher.predict(slow, RequestRecord("late")))
        first = each.predict(130)
        await settle()
        assert each.batcher.waiting() == 1
        assert each.predictor.sizes == []
        gate.set()
        assert yaws(await asyncio.gather(first, late)) == pytest.approx([2, 12])
        assert each.predictor.sizes == [2]

    asyncio.run(run())


def test_a_picture_waits_no_longer_than_the_deadline() -> None:
    async def run() -> None:
        each, never = Run(batch_wait=0.01), asyncio.Event()

        async def stuck() -> Image.Image:
            await never.wait()
            return image(0)

        other = asyncio.create_task(each.batcher.predict(stuck, RequestRecord("stuck")))
        assert yaws([await each.predict(130)]) == pytest.approx([2])
        other.cancel()

    asyncio.run(run())


def test_a_picture_that_cannot_be_decoded_does_not_hold_up_others() -> None:
    async def run() -> None:
        each, gate = Run(), asyncio.Event()

        async def broken() -> Image.Image:
            await gate.wait()
            raise ValueError("broken")

        other = asyncio.create_task(each.batcher.predict(broken, RequestRecord("broken")))
        first = each.predict(130)
        await settle()
        gate.set()
        assert yaws([await first]) == pytest.approx([2])
        with pytest.raises(ValueError, match="broken"):
            await other

    asyncio.run(run())


def test_a_picture_that_fails_does_not_fail_the_others_of_its_batch() -> None:
    async def run() -> None:
        each = Run()
        each.predictor.may_continue.clear()
        first = each.predict(129)
        await settle()
        others = [each.predict(red) for red in (130, 13, 131)]
        await settle()
        each.predictor.may_continue.set()
        results = await asyncio.gather(first, *others, return_exceptions=True)
        assert [isinstance(result, ValueError) for result in results] == [False, False, True, False]
        assert each.predictor.sizes == [1, 3, 1, 1, 1]

    asyncio.run(run())


def test_abandoned_pictures_are_not_predicted() -> None:
    async def run() -> None:
        each = Run(workers=1)
        each.predictor.may_continue.clear()
        first = each.predict(130)
        await settle()
        waiting = [each.predict(131), each.predict(132)]
        await settle()
        assert each.batcher.busy_seconds() >= 0
        assert [record.running for record in each.records] == [True, False, False]
        each.records[1].abandoned = True
        each.predictor.may_continue.set()
        results = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert isinstance(results[1], AbandonedError)
        assert sum(each.predictor.sizes) == 2
        assert each.batcher.busy_seconds() == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"workers": 0}, {"answer_seconds": 0}, {"stop_seconds": -1}, {"batch_wait": -0.1}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=rf"{next(iter(options))} is .*: give a number"):
        ServiceOptions(**options)  # type: ignore[arg-type]
