"""Files: checks of regular files, atomic writing, folder locks, and tensors as safetensors.

Nothing that is read is ever executed.
"""

from deepgllim.storage.allocation import reserve
from deepgllim.storage.atomic import (
    remove_abandoned,
    remove_temporaries,
    remove_unfinished,
    temporary_of,
    unfinished,
    write_atomically,
)
from deepgllim.storage.locks import HOLDER, LOCK, locked_folder
from deepgllim.storage.regular import irregular, is_address, refuse_irregular, refuse_unreadable
from deepgllim.storage.tensors import CHECKSUM, checksum, read_header, read_tensors, write_tensors

__all__ = [
    "CHECKSUM",
    "HOLDER",
    "LOCK",
    "checksum",
    "irregular",
    "is_address",
    "locked_folder",
    "read_header",
    "read_tensors",
    "refuse_irregular",
    "refuse_unreadable",
    "remove_abandoned",
    "remove_temporaries",
    "remove_unfinished",
    "reserve",
    "temporary_of",
    "unfinished",
    "write_atomically",
    "write_tensors",
]
