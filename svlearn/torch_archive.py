"""Torch's archives as others wrote them: read by their checksums and by an interpreter of what data need, no code.

A file of `torch.save` is a zip archive of a pickle and of the tensors' bytes. Of the pickle's language this knows what
writes dicts, lists, tuples, strings, numbers and tensors; it calls nothing that a file names. What it takes grows with
the length of the file alone. `content_of` refuses what names more; `content_around_code` reads what lies around it.
What torch wrote before its version 1.6 is no archive: `svlearn.torch_legacy` reads it.
"""

import io
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch
from torch import Tensor

MAX_BYTES = 2**28  # of a file, and of all tensors together, where nothing else is said
MAX_PICKLE = 2**20  # bytes of its pickle
STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.BoolStorage": torch.bool,
}
TENSOR, PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
DICTS = ("collections.OrderedDict", "easydict.EasyDict")  # the authors' config is an EasyDict; here both are dicts
KNOWN = {*STORAGES, *DICTS, TENSOR, PARAMETER}


class NamesCode(ValueError):
    """A pickle that names more than data need: `names`."""

    def __init__(self, names: list[str]):
        super().__init__(", ".join(names))
        self.names = names


@dataclass(eq=False)
class Foreign:
    """A thing of a class that a file names: the class' path, and what it would be made of; nothing is made."""

    name: str
    arguments: tuple = ()
    state: Any = None
    items: dict = field(default_factory=dict)
    entries: list = field(default_factory=list)


def content_of(file: bytes, most: int | None = None) -> Any:
    """What a file of `torch.save` holds, of dicts (whatever their class), lists, tuples, strings, numbers and tensors.

    Raises NamesCode for one that names anything else, and ValueError for one that is cut or damaged (the checksums of
    all its parts are looked at) or passes a limit: MAX_PICKLE, and `most` bytes (None: MAX_BYTES) for the file and for
    its tensors together.
    """
    return _read(file, True, MAX_BYTES if most is None else most)


def content_around_code(file: bytes) -> Any:
    """As `content_of`, of a file that names code as well, as a training's checkpoint names the classes of its settings:
    what would be made by code is a `Foreign`, in whose place nothing is imported, made or called."""
    return _read(file, False, MAX_BYTES)


def _read(file: bytes, refuses: bool, most: int) -> Any:
    if len(file) > most:
        raise ValueError(f"more than {most} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            pickled, prefix = _checked(archive, len(file))
            if refuses:
                refuse_code(pickled)
            return Reader(lambda key, num_bytes: archive.read(f"{prefix}data/{key}"), most).run(pickled)
    except NamesCode:
        raise
    except Exception as error:  # whatever a damaged file makes of the parsers
        raise ValueError(f"{type(error).__name__}: {error}") from error


def refuse_code(pickled: bytes) -> None:
    """Raise NamesCode for a pickle that names more than data need."""
    names = {str(arg).replace(" ", ".") for op, arg, _ in pickletools.genops(pickled) if op.name == "GLOBAL"}
    if names - KNOWN:
        raise NamesCode(sorted(names - KNOWN))


def _checked(archive: zipfile.ZipFile, size: int) -> tuple[bytes, str]:
    """The pickle and the folder that all parts are in, once each part is known to be what was written."""
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
        raise ValueError("parts that are compressed or overlap")
    pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or len({entry.filename for entry in entries}) != len(entries):
        raise ValueError("no archive of torch, or one with two parts of one name")
    if pickles[0].file_size > MAX_PICKLE:
        raise ValueError(f"a pickle of more than {MAX_PICKLE} bytes")
    if (damaged := archive.testzip()) is not None:
        raise ValueError(f"a wrong checksum of {damaged}")
    prefix = pickles[0].filename.removesuffix("data.pkl")
    order = f"{prefix}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("numbers in big-endian order")
    return archive.read(pickles[0]), prefix


@dataclass(frozen=True)
class _Name:
    """What a pickle names, not looked up."""

    name: str


@dataclass(frozen=True)
class _Mark:
    pass


class Reader:
    """The stack, the memo and the tensors' bytes of one pickle. Any slip in it is an exception of some kind.

    part: the bytes of a storage, of its key and of how many bytes the pickle says that it has. most: of all tensors.
    """

    def __init__(self, part: Callable[[str, int], bytes], most: int = MAX_BYTES):
        self.part, self.most = part, most
        self.stack: list[Any] = []
        self.memo: dict[Any, Any] = {}
        self.storages: dict[tuple[str, str], Tensor] = {}
        self.num_bytes = 0

    def run(self, pickled: bytes) -> Any:
        stack = self.stack
        for op, arg, _ in pickletools.genops(pickled):
            match op.name:
                case "PROTO":
                    pass
                case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                    stack.append(arg)
                case "NONE" | "NEWTRUE" | "NEWFALSE":
                    stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[op.name])
                case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                    stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": ()}[op.name])
                case "MARK":
                    stack.append(_Mark())
                case "TUPLE":
                    stack.append(tuple(self._since_mark()))
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    stack.append(tuple(self._last(int(op.name[-1]))))
                case "BINPUT" | "LONG_BINPUT":
                    self.memo[arg] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(self.memo[arg])
                case "APPEND" | "APPENDS":
                    items = self._last(1) if op.name == "APPEND" else self._since_mark()
                    filled = stack[-1].entries if isinstance(stack[-1], Foreign) else _of(list, stack[-1])
                    filled.extend(items)
                case "SETITEM" | "SETITEMS":
                    items = self._last(2) if op.name == "SETITEM" else self._since_mark()
                    foreign = isinstance(stack[-1], Foreign)
                    filled = stack[-1].items if foreign else _of(dict, stack[-1])
                    for key, value in zip(items[::2], items[1::2], strict=True):
                        filled[key if isinstance(key, (int, Foreign)) else _of(str, key)] = value
                case "GLOBAL":
                    stack.append(_Name(str(arg).replace(" ", ".")))
                case "NEWOBJ" | "REDUCE":
                    named, arguments = self._last(2)
                    stack.append(self._made(named, *_of(tuple, arguments)))
                case "BUILD":  # the attributes of a dict, which repeat its entries
                    (state,) = self._last(1)
                    if isinstance(stack[-1], Foreign):
                        stack[-1].state = state
                    else:
                        _of(dict, stack[-1])
                case "BINPERSID":
                    kind, storage, key, _, length, *view = _of(tuple, stack.pop())
                    if view not in ([], [None]):  # the older layout's, of a part of another storage
                        raise ValueError("a storage that is a view of another")
                    stack.append(self._storage(kind, _of(_Name, storage).name, _of(str, key), _of(int, length)))
                case "STOP":
                    (content,) = stack
                    return content
                case unknown:
                    raise ValueError(f"opcode {unknown}")

    def _last(self, number: int) -> list[Any]:
        items = self.stack[-number:]
        if len(items) < number:
            raise ValueError("a stack that is empty")
        del self.stack[-number:]
        return items

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(item := self.stack.pop(), _Mark):
            items.append(item)
        return items[::-1]

    def _made(self, named: Any, *arguments: Any) -> Any:
        name = named.name if isinstance(named, (_Name, Foreign)) else _of(_Name, named)
        if name not in KNOWN or isinstance(named, Foreign):
            return Foreign(name, arguments)
        if name in DICTS and not arguments:
            return {}
        if name == PARAMETER:
            return _of(Tensor, arguments[0])
        if name == TENSOR:
            return self._tensor(*arguments[:4])
        raise ValueError(f"{name} of {len(arguments)} arguments")

    def _storage(self, kind: str, name: str, key: str, length: int) -> Tensor:
        if (name, key) not in self.storages:
            dtype = STORAGES[name]
            content = bytearray(self.part(key, length * dtype.itemsize))
            if kind != "storage" or len(content) != length * dtype.itemsize:
                raise ValueError(f"part {key}: {len(content)} bytes for {length} numbers")
            self.storages[name, key] = (
                torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            )
        return self.storages[name, key]

    def _tensor(self, storage: Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
        """A tensor of its own; no number of the storage may be behind two of its elements, nor any from beside it."""
        numbers = [offset, *shape, *strides]
        if not all(type(each) is int and 0 <= each <= self.most for each in numbers) or len(shape) != len(strides):
            raise ValueError("a tensor of a shape that cannot be")
        size = reduce(lambda a, b: min(a * b, self.most), shape, 1)
        last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides))
        if size and (size > len(storage) or last >= len(storage)):
            raise ValueError("a tensor of more numbers than its part has")
        self.num_bytes += size * storage.element_size()
        if self.num_bytes > self.most:
            raise ValueError(f"tensors of more than {self.most} bytes")
        return storage.as_strided(shape, strides, offset).clone(memory_format=torch.contiguous_format)


def _of(kind: Any, thing: Any) -> Any:
    if type(thing) is not kind:
        raise ValueError(f"{type(thing).__name__} in the place of {kind.__name__}")
    return thing
