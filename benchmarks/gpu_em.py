"""EM on a device, relative to its two matrix products and to EM on the CPU; a part of benchmarks/gpu.py."""

import statistics
from typing import Any

import torch

from benchmarks.em import Size, make_data
from benchmarks.gpu_plan import Clock, Plan
from deepgllim.gllim import Options, Rows, e_step, fit, m_step


def measure_em(size: Size, device: torch.device, dtype: torch.dtype, plan: Plan) -> dict[str, Any]:
    """Time EM iterations and the two products that they need at least, in turns."""
    features, targets, r = (each.to(device) for each in make_data(size))
    features = features.to(dtype)
    first = fit(features, targets, options=Options(max_iter=1), responsibilities=r, dtype=dtype).parameters
    rows = Rows(features, targets, dtype=dtype)
    parameters = rows.scaling.reduce(first)
    right, left = (torch.randn(n, size.K * (size.L + 2), dtype=dtype, device=device) for n in (size.D, size.N))
    clock, em, products = Clock(device), [], []
    for i in range(plan.warm_up + plan.repeats):
        if i > plan.warm_up and clock.total > plan.seconds:
            break
        _ = features @ right, left.T @ features
        products.append(clock.lap("products"))
        parameters = m_step(e_step(rows, parameters))
        em.append(clock.lap("em"))
    seconds, floor = (statistics.median(each[plan.warm_up :]) for each in (em, products))
    return {
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "iterations": len(em),
        "em_seconds": seconds,
        "products_seconds": floor,
        "ratio_to_products": seconds / floor,
        "log_likelihood_of_the_start": float(e_step(rows, rows.scaling.reduce(first)).log_likelihood),
    }


def compare_em(size: Size, plan: Plan) -> dict[str, Any]:
    """Time EM on the device in both dtypes, and on the CPU."""
    here = measure_em(size, torch.device("cpu"), torch.float64, plan)
    runs = [measure_em(size, plan.device, dtype, plan) for dtype in (torch.float64, torch.float32)]
    for run in runs:
        run["times_faster_than_cpu"] = here["em_seconds"] / run["em_seconds"]
        difference = run["log_likelihood_of_the_start"] - here["log_likelihood_of_the_start"]
        run["relative_difference_of_log_likelihood"] = difference / abs(here["log_likelihood_of_the_start"])
    return {**size._asdict(), "noise": "diagonal", "cpu": here, "runs": runs}
