"""A second device without a GPU: tensors on it have values, and meet no tensor of the CPU without an error.

They are labelled with torch's device "meta", which needs no hardware, but are computed on the CPU, so that code whose
path depends on values runs as it would on a GPU. Within `SecondDevice()`, `tensor.to(PLACE)` and `device=PLACE` make
such tensors, and `.cpu()` returns a normal one. As on a GPU, `.numpy()` is an error, a scalar of the CPU may enter any
operation, and `copy_` and `.to` transfer values.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

PLACE = torch.device("meta")
TRANSFERS = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class MixedDevicesError(RuntimeError):
    """An operation has got tensors of both devices."""


class Distant(Tensor):
    """A tensor on the second device.

    Args:
        value: its values, on the CPU.
    """

    value: Tensor

    @staticmethod
    def __new__(cls, value: Tensor) -> "Distant":
        """Return a tensor without memory of its own."""
        return torch.Tensor._make_wrapper_subclass(
            cls,
            value.size(),
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            device=PLACE,
            requires_grad=value.requires_grad,
        )

    def __init__(self, value: Tensor) -> None:
        self.value = value.detach()

    def __repr__(self) -> str:  # type: ignore[override]
        """Show the values."""
        return f"Distant({self.value!r})"

    def tolist(self) -> Any:
        """Return the values as lists, which torch does not do for a subclass."""
        return self.value.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's stub is that of a static method
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Compute an operation on the CPU."""
        return _run(func, args, kwargs or {})


class SecondDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context in which tensors can be created on the second device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute an operation on the CPU."""
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    distant = [each for each in given if isinstance(each, Distant)]
    near = [each for each in given if not isinstance(each, Distant) and each.ndim > 0]
    if distant and near and func not in TRANSFERS:
        raise MixedDevicesError(f"{func} of tensors {[(tuple(each.shape), each.device) for each in given]}")
    wanted = kwargs.get("device")
    if func is torch.ops.aten.copy_.default:
        there = isinstance(args[0], Distant)
    else:
        there = bool(distant) if wanted is None else torch.device(wanted) == PLACE
    if wanted is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    same = {id(each.value): each for each in distant}
    own_args, own_kwargs = tree_map(lambda x: x.value if isinstance(x, Distant) else x, (args, kwargs))
    answer = func(*own_args, **own_kwargs)

    def labelled(value: Any) -> Any:
        if not isinstance(value, Tensor) or not there:
            return value
        known = same.get(id(value))  # an operation in place returns its argument
        return Distant(value) if known is None else known

    return tree_map(labelled, answer)
