"""Read a pickle as data: a small machine of its own, in which nothing can be called but ours.

Python's unpickler runs what the file says: it calls functions, hashes keys, compares and sets
attributes, each of which a file of a few bytes can make endless (a tuple of two tuples of two ...).
Here a dictionary's keys are texts and plain integers, integers are small, a name of a function
becomes a record of the caller's or the file is refused, and the work is linear in the file.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from typing import Any

from jaxdissect.networks.weights.stored import Refused, brief

Known = Mapping[tuple[str, str], Any]
"""What stands in place of a file's names, by module and name: records, or functions of ours."""

MOST_OPERATIONS = 5_000_000
"""Of a pickle: a hundred thousand tensors take fewer."""

MOST_BITS = 128
"""Of an integer: the number that PyTorch's older files begin with has 77."""


class _BoundedReader:
    """The reading half of a file that never reserves memory for more bytes than are left."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        place = file.tell()
        self._end = file.seek(0, io.SEEK_END)
        file.seek(place)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """Read up to as many bytes."""
        return self._file.read(min(size, self._end - self._file.tell()))

    def readline(self) -> bytes:
        """Read a line."""
        return self._file.readline()


def read_pickle(file: BufferedIOBase, known: Known, persistent: Callable[[Any], Any]) -> Any:
    """Read the pickle that begins at the place of a file, and leave the file behind it.

    Args:
        file: Opened to read bytes.
        known: What stands in place of names; everything else is refused.
        persistent: Makes what stands in place of a record of another file, from its description.

    Returns:
        None, booleans, numbers, texts, bytes, and lists, tuples and dictionaries of them; sets are
        lists. Whatever the file refers to several times is one object.

    Raises:
        Refused: If the pickle holds anything else.
        Exception: If it is broken, of any kind.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    reader: Any = _BoundedReader(file)
    operations: Any = pickletools.genops(reader)
    for number, (operation, argument, position) in enumerate(operations):
        if number > MOST_OPERATIONS:
            raise Refused(f"refused, because its records take more than {MOST_OPERATIONS} steps")
        match operation.name:
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                if argument > position:
                    raise Refused(
                        f"refused, because it numbers an object {argument} without so many"
                    )
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(operation.name == "NEWTRUE")
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4":
                if argument.bit_length() > MOST_BITS:
                    raise Refused("refused, because it holds an integer of many digits")
                stack.append(argument)
            case name if name in _PLAIN:
                stack.append(argument)
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(operation.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                stack.append(tuple(_after_mark(stack, marks)))
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "LIST" | "FROZENSET":
                stack.append(_after_mark(stack, marks))
            case "APPEND":
                _extend(stack[-2], [stack[-1]])
                stack.pop()
            case "APPENDS" | "ADDITEMS":
                items = _after_mark(stack, marks)
                _extend(stack[-1], items)
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                stack.append(dictionary_of(_pairs(_after_mark(stack, marks))))
            case "SETITEM":
                _update(stack[-3], [(stack[-2], stack[-1])])
                del stack[-2:]
            case "SETITEMS":
                items = _after_mark(stack, marks)
                _update(stack[-1], _pairs(items))
            case "POP":
                stack.pop()
            case "POP_MARK":
                _after_mark(stack, marks)
            case "DUP":
                stack.append(stack[-1])
            case "GLOBAL":
                stack.append(_find(known, *argument.split(" ", 1)))
            case "STACK_GLOBAL":
                module, name = stack[-2:]
                stack[-2:] = [_find(known, module, name)]
            case "REDUCE" | "NEWOBJ":
                function, arguments = stack[-2:]
                if not callable(function) or type(arguments) is not tuple:
                    raise Refused("is damaged: it calls what is no function")
                stack[-2:] = [function(*arguments)]
            case "BUILD":
                # Attributes of a dictionary, such as `_metadata` of PyTorch's, are passed over.
                if type(stack[-2]) is not dict:
                    raise Refused("refused, because it sets attributes of a record")
                stack.pop()
            case "BINPERSID":
                stack[-1] = persistent(stack[-1])
            case other:
                raise Refused(f"refused, because of an operation {other} that weights do not need")
    raise EOFError("the records have no end")


_PLAIN = {
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE"),
    *("SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
"""Operations that make what they carry."""


def dictionary_of(pairs: Any = ()) -> dict[Any, Any]:
    """Make a dictionary of pairs whose keys are texts or integers, such as an `OrderedDict`."""
    result: dict[Any, Any] = {}
    _update(result, pairs)
    return result


def _after_mark(stack: list[Any], marks: list[int]) -> list[Any]:
    start = marks.pop()
    items = stack[start:]
    del stack[start:]
    return items


def _find(known: Known, module: Any, name: Any) -> Any:
    if type(module) is not str or type(name) is not str:
        raise Refused("is damaged: it refers to something without a name")
    if (module, name) not in known:
        raise Refused(
            f"refused, because it refers to {brief(module)}.{brief(name)}, and files of weights "
            "may hold nothing but tensors; save `model.state_dict()` alone"
        )
    return known[module, name]


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is not list:
        raise Refused("is damaged: it appends to what is no list")
    target.extend(items)


def _update(target: Any, pairs: Any) -> None:
    if type(target) is not dict or type(pairs) not in (list, tuple):
        raise Refused("is damaged: it sets an item of what is no dictionary")
    for pair in pairs:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise Refused("is damaged: it makes a dictionary of what are no pairs")
        key, value = pair
        if type(key) is not str and type(key) is not int:
            raise Refused(
                f"refused, because a dictionary has a key {brief(key)}: keys must be texts"
            )
        target[key] = value
