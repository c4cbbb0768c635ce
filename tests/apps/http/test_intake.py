"""Limits of the requests and of the pixels in progress."""

import asyncio
import contextlib

import pytest
from fastapi import HTTPException

from deepgllim.apps.http.intake import PixelBudget, RequestSlots
from deepgllim.apps.http.limits import Limits
from deepgllim.errors import ConfigurationError


def test_excess_requests_are_rejected_and_slots_are_released() -> None:
    slots = RequestSlots(1)

    def fail() -> None:
        with slots.acquire():
            with pytest.raises(HTTPException) as caught, slots.acquire():
                pass
            raise caught.value

    with pytest.raises(HTTPException) as caught:
        fail()
    assert caught.value.status_code == 429
    assert (caught.value.headers or {})["Retry-After"] == "1"
    with slots.acquire():
        pass


def test_requests_for_pixels_are_served_in_order() -> None:
    async def run() -> tuple[int, list[int]]:
        budget, held, most, order = PixelBudget(10), 0, 0, []

        async def visit(number: int, pixels: int) -> None:
            nonlocal held, most
            async with budget.hold(pixels):
                order.append(number)
                held += pixels
                most = max(most, held)
                for _ in range(3):
                    await asyncio.sleep(0)
                held -= pixels

        await asyncio.gather(*(visit(n, pixels) for n, pixels in enumerate([6, 3, 10, 1, 1, 5, 5, 10, 4])))
        return most, order

    most, order = asyncio.run(run())
    assert most == 10
    assert order == list(range(9))  # a large picture does not starve


def test_pixels_are_released_after_cancellation_and_failure() -> None:
    async def run() -> None:
        budget = PixelBudget(10)
        with contextlib.suppress(RuntimeError):
            async with budget.hold(10):
                waiting = asyncio.create_task(_hold(budget, 10))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                raise RuntimeError
        await asyncio.wait_for(_hold(budget, 10), 10)

    asyncio.run(run())


async def _hold(budget: PixelBudget, pixels: int) -> None:
    async with budget.hold(pixels):
        pass


@pytest.mark.parametrize("field", ["max_bytes", "max_pixels", "max_requests", "workers", "upload_seconds"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_are_positive(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{field} is {value}"):
        Limits(**{field: value})  # type: ignore[arg-type]
