"""Communication between the processes of a fit. Without a process group, there is one process and nothing to send."""

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed
from torch import Tensor
from torch.distributed import ProcessGroup

from deepgllim.errors import DataError

Result = TypeVar("Result")


def rank(group: ProcessGroup | None) -> int:
    """Return the number of this process, from 0."""
    return 0 if group is None else torch.distributed.get_rank(group)


def gather_rows(values: Tensor, group: ProcessGroup | None) -> Tensor:
    """Return the rows of all processes, concatenated in their order."""
    if group is None:
        return values
    parts: list[Tensor] = [values] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(parts, values.cpu(), group=group)
    return torch.cat(parts).to(values.device)


def sum_values(values: Tensor, group: ProcessGroup | None, problem: str | None) -> Tensor:
    """Return the sum over all processes, by one all_reduce.

    Args:
        values: of this process.
        group: the processes.
        problem: message of the error that this process had; None without an error.

    Raises:
        DataError: in every process, if one of them had an error.
    """
    if group is None:
        return values
    flat = torch.cat([values.flatten(), values.new_full((1,), float(problem is not None))])
    torch.distributed.all_reduce(flat, group=group)
    if float(flat[-1]) > 0:
        raise DataError(problem or "another process could not use its rows: see its error message")
    return flat[:-1].view_as(values)


def run_in_all(compute: Callable[[], Result], group: ProcessGroup | None) -> Result:
    """Return the result of this process; if the data of one process is invalid, raise the error in all of them.

    Raises:
        DataError: in every process, with the number of the first process that raised it.
    """
    if group is None:
        return compute()
    problem: str | None = None
    try:
        result = compute()
    except DataError as error:
        problem = str(error)
    problems: list[str | None] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(problems, problem, group=group)
    for number, text in enumerate(problems):
        if text is not None:
            raise DataError(f"process {number}: {text}")
    return result
