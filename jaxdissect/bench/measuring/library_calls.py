"""Kernels of libraries in compiled programs, such as cuDNN's and cuBLAS's: the bytes they move.

XLA's analysis enters -1 byte for each, since it does not know them. Their operands and results
stand in the text of the program.
"""

import math
import re

_INSTRUCTION = re.compile(
    r"^\s*(?:ROOT )?%?(?P<name>[\w.\-]+) = (?P<shape>\(.*?\)|\S+) (?P<rest>.*)$"
)
_CALL = re.compile(r"^custom-call\((?P<operands>[^)]*)\)(?P<more>.*)$")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?[\w.\-]+ \(.*\{$")
_ARRAY = re.compile(r"\b(?P<type>pred|[a-z]+?(?P<bits>\d+)\w*)\[(?P<shape>[\d,]*)\]")
_OPERAND = re.compile(r"%([\w.\-]+)")
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_LIBRARIES = re.compile(r"__(cudnn|cublas|onednn)")
_UNKNOWN = -1.0  # what XLA enters


def bytes_of_library_calls(text: str) -> float:
    """Count what calls of libraries read and write, and take back what XLA has entered for them.

    Scratch memory, bytes that cuDNN and cuBLAS return beside the result, is left out.

    Args:
        text: Of a compiled program, as `as_text()` returns it.
    """
    total = 0.0
    sizes: dict[str, float] = {}
    for line in text.splitlines():
        if _COMPUTATION.match(line):
            sizes = {}  # names are those of a computation
            continue
        found = _INSTRUCTION.match(line)
        if not found:
            continue
        sizes[found["name"]] = _bytes(found["shape"])
        call = _CALL.match(found["rest"])
        if call is None:
            continue
        total -= _UNKNOWN
        target = _TARGET.search(call["more"])
        if target is None or not _LIBRARIES.match(target[1]):
            continue
        total += sum(sizes.get(name, 0.0) for name in _OPERAND.findall(call["operands"]))
        total += _bytes(re.sub(r"(, )?\b[su]8\[\d+\]\S*\)$", ")", found["shape"]))
    return total


def _bytes(shape: str) -> float:
    """Count the bytes of an array, or of several."""
    total = 0.0
    for array in _ARRAY.finditer(shape):
        bits = 8 if array["type"] == "pred" else int(array["bits"])
        total += bits / 8 * math.prod(int(size) for size in array["shape"].split(",") if size)
    return total
