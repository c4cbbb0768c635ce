"""Bounds on what is in progress: places that are given back, pixels that are never exceeded."""

import asyncio
import contextlib

import pytest
from fastapi import HTTPException

from deepgllim.apps.web.intake import PixelBudget, Places
from deepgllim.apps.web.limits import Limits
from deepgllim.errors import ConfigurationError


def test_a_place_too_many_is_refused_and_given_back_whatever_happens() -> None:
    places = Places(1)

    def fail() -> None:
        with places.one():
            with pytest.raises(HTTPException) as caught, places.one():
                pass
            raise caught.value

    with pytest.raises(HTTPException) as caught:
        fail()
    assert caught.value.status_code == 429
    assert (caught.value.headers or {})["Retry-After"] == "1"
    with places.one():
        pass


def test_pixels_are_shared_out_first_come_first_served() -> None:
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
    assert order == list(range(9))  # a large picture does not wait behind small ones for ever


def test_pixels_of_who_gives_up_or_fails_come_back() -> None:
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
