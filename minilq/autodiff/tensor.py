"""Tensor: an array that remembers how it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minilq.arguments import as_array, check_flag, float_type, is_bound, is_whole, shown
from minilq.autodiff import numpy_functions
from minilq.autodiff.tape import Array, Node, Storage, mode, walk_back
from minilq.errors import DTypeError, ShapeError, TapeError

# Name of a primitive, or of an operation made of some -> the operation; filled by @primitive and by ops/join.py, so
# that the operators below need no import of the ops.
OPERATORS: dict[str, Callable[..., Any]] = {}

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Tensor:
    """A float32 or float64 array on which operations are recorded.

    data            anything np.asarray takes; it is copied. Integers are rejected: say which float you mean. Numbers
                    that are asked for, as here, by float(x) or x.numpy(), are no part of the tape.
                    `.data` is the array: write through it, and a backward pass that needed the old numbers says so.
                    `.numpy()` is a view for looking. (`.array` is the same memory, unwatched, for minilq's own code.)
    requires_grad   whether `backward` leaves a gradient in `.grad` (same shape and dtype). Gradients accumulate.
    dtype           convert the data to this float type first.

    Raises DTypeError for complex numbers and objects, for integers and booleans unless `dtype` says what they become.
    Comparisons (<, <=, >, >=) give boolean arrays; == is identity, as for any object.

    >>> import numpy as np
    >>> x = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "array", "grad", "node", "requires_grad", "storage")
    __array_ufunc__ = None                       # np.float32(2) * tensor must come to __rmul__

    array: Array
    grad: Array | None
    node: Node | None
    requires_grad: bool
    storage: Storage

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        check_flag("Tensor", "requires_grad", requires_grad)
        wanted = None if dtype is None else float_type("Tensor", dtype)
        if isinstance(data, (list, tuple)) and mode.recording and any(
                isinstance(part, Tensor) and part.requires_grad for part in data):
            raise TapeError("Tensor", "data are numbers; what was recorded would be forgotten",
                            got="a list with Tensors that require a gradient", cause="Write stack([a, b])")
        if isinstance(data, np.matrix):          # what is copied here is an array afterwards
            data = np.asarray(data)
        given = data.array if isinstance(data, Tensor) else as_array("Tensor", data, "data")
        array = np.array(given, dtype=wanted if given.dtype.kind in "fiub" else None, order="C")
        if array.dtype not in FLOATS:
            raise DTypeError("Tensor", "data must be float32 or float64", got=str(array.dtype),
                             cause="Pass dtype=np.float32, or write 1.0 for 1")
        self.array = array
        self.grad = None
        self.requires_grad = bool(requires_grad)
        self.node = None
        self.storage = Storage(array)

    @classmethod
    def wrap(cls, array: Array, storage: Storage | None = None, node: Node | None = None) -> Tensor:
        """A tensor around an array that nobody else will write into; for operations and layers, without a copy."""
        tensor = cls.__new__(cls)
        tensor.array = array
        tensor.grad = None
        tensor.requires_grad = node is not None
        tensor.node = node
        tensor.storage = Storage(array) if storage is None else storage
        return tensor

    def without_content(self, shape_only: Array) -> Tensor:
        """A stand-in for the tape: the same place in the program, and an array that holds no numbers."""
        return Tensor.wrap(shape_only, None, self.node)

    @property
    def data(self) -> Array:
        """The array itself, as a view. Writing into it before a backward pass that needs it is found and reported."""
        return self.storage.lend(self.array)

    @data.setter
    def data(self, value: Any) -> None:
        if value is not None and value is self.storage.lent_view(self.array):    # the second half of `x.data += 1`
            return
        fresh = Tensor(value, dtype=self.dtype)
        if fresh.shape != self.shape:
            raise ShapeError("Tensor.data", f"a new value must keep the shape {self.shape}", got=str(fresh.shape))
        if self.node is not None:
            raise TapeError("Tensor.data", "only a tensor that you made can be given a new value",
                            got=f"a result of {self.node.primitive.name}")
        self.array, self.storage = fresh.array, fresh.storage

    def numpy(self) -> Array:
        """A read-only view of the array, for looking and measuring."""
        view = self.array.view()
        view.flags.writeable = False
        return view

    def changed_in_place(self) -> None:
        """Say that `array` has just been written into (the optimizers do)."""
        self.storage.version += 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def size(self) -> int:
        return self.array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def item(self) -> float:
        """The number in a tensor of one element; ShapeError for more."""
        if self.size != 1:
            raise ShapeError("item", "only a tensor of one element is a number", got=f"shape {self.shape}")
        return float(self.array.item())

    def __float__(self) -> float:
        return self.item()

    def __bool__(self) -> bool:
        return self.item() != 0

    def detach(self) -> Tensor:
        """The same numbers (a copy), not connected to any tape."""
        return Tensor(self.array)

    def backward(self, g: Any = None) -> None:
        """Add dL/dx to `.grad` of every leaf x behind this tensor; g = dL/d(this tensor), same shape, 1 for a scalar.

        The tape is freed: a second call is a TapeError. Raises ShapeError and DTypeError for an unfitting g, and
        TapeError when an array that a derivative needs was changed in place; no gradient changes in that case.
        """
        if not self.requires_grad:
            raise TapeError("backward", "nothing behind this tensor asks for a gradient",
                            cause="Make a tensor with requires_grad=True, outside no_grad()")
        if g is None:
            if self.size != 1:
                raise ShapeError("backward", "a tensor of more than one element needs g, the gradient of the loss "
                                 "with respect to it", got=f"shape {self.shape} and no g")
            g = np.array(1, self.dtype).reshape(self.shape)
        elif isinstance(g, Tensor):
            g = g.array
        else:
            listed = not isinstance(g, np.ndarray)
            g = as_array("backward", g, "g")
            if listed and g.dtype.kind in "fiub":            # numbers, and lists of numbers, have no float type yet
                g = g.astype(self.dtype)
        if g.shape != self.shape:
            raise ShapeError("backward", f"g must have the shape {self.shape} of the tensor", got=str(g.shape))
        if g.dtype != self.dtype:
            raise DTypeError("backward", f"g must be {self.dtype} as the tensor", got=str(g.dtype))
        leaves = [(self, g.copy())] if self.node is None else walk_back(self.node, g)
        for leaf, dx in leaves:
            leaf.grad = dx if leaf.grad is None else leaf.grad + dx

    def __repr__(self) -> str:
        made_by = f", made by {self.node.primitive.name}" if self.node is not None else ""
        grad = ", requires_grad=True" if self.requires_grad and self.node is None else ""
        return f"Tensor({np.array2string(self.array, prefix='Tensor(')}, {self.dtype}{grad}{made_by})"

    def __len__(self) -> int:
        return len(self.array)

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(self.array == self._beside(value)))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For copies and pickles."""
        if self.node is not None:
            raise TapeError("copy", "only a tensor that you made can be copied or pickled: a result hangs on its tape",
                            got=f"a result of {self.node.primitive.name}", cause="Write x.detach() for its numbers")
        return super().__reduce_ex__(protocol)

    def __iter__(self) -> Iterator[Tensor]:
        len(self)                                # a number cannot be iterated over
        return iter(OPERATORS["unstack"](self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """For np.asarray(x), np.array([x[0], x[1]]), array[0] = x[0]: what follows would know nothing of the tape."""
        if mode.recording and self.requires_grad:
            raise TapeError("np.array", "an array would forget what the Tensor comes from",
                            got="a Tensor that requires a gradient",
                            cause="Join Tensors with stack or concatenate; for the numbers alone take x.numpy()")
        return np.array(self.array, dtype=dtype)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return numpy_functions.call(function, OPERATORS, args, options)

    # Arithmetic: the primitives of ops/, looked up by name.
    def __add__(self, other: Any) -> Tensor:
        return OPERATORS["add"](self, other)

    def __radd__(self, other: Any) -> Tensor:
        return OPERATORS["add"](other, self)

    def __sub__(self, other: Any) -> Tensor:
        return OPERATORS["subtract"](self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return OPERATORS["subtract"](other, self)

    def __mul__(self, other: Any) -> Tensor:
        return OPERATORS["multiply"](self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return OPERATORS["multiply"](other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return OPERATORS["divide"](self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return OPERATORS["divide"](other, self)

    def __pow__(self, exponent: float) -> Tensor:
        return OPERATORS["power"](self, exponent)

    def __neg__(self) -> Tensor:
        return OPERATORS["negative"](self)

    def __abs__(self) -> Tensor:
        return OPERATORS["absolute"](self)

    def __matmul__(self, other: Any) -> Tensor:
        return OPERATORS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return OPERATORS["matmul"](other, self)

    def __getitem__(self, key: Any) -> Tensor:
        return OPERATORS["index"](self, key)

    # Comparisons have no derivative: they give plain boolean arrays.
    def __lt__(self, other: Any) -> Array:
        return self.array < self._beside(other)

    def __le__(self, other: Any) -> Array:
        return self.array <= self._beside(other)

    def __gt__(self, other: Any) -> Array:
        return self.array > self._beside(other)

    def __ge__(self, other: Any) -> Array:
        return self.array >= self._beside(other)

    def _beside(self, other: Any) -> Any:
        """What this tensor is compared with: an array of real numbers, or a number, NaN included."""
        if isinstance(other, float) or is_bound(other):
            return other
        array = other.array if isinstance(other, Tensor) else as_array("comparison", other, "the other side")
        if array.dtype.kind not in "fiub":
            raise DTypeError("comparison", "a tensor is compared with numbers", got=shown(other))
        try:
            np.broadcast_shapes(self.shape, array.shape)
        except ValueError:
            raise ShapeError("comparison", "shapes must be equal, or 1 where they differ, counted from the last axis",
                             got=f"{self.shape} and {array.shape}") from None
        return array

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        return OPERATORS["sum"](self, axis, keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        return OPERATORS["mean"](self, axis, keepdims)

    def max(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        return OPERATORS["max"](self, axis, keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        return OPERATORS["reshape"](self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        order = axes[0] if len(axes) == 1 and not is_whole(axes[0]) else axes or None
        return OPERATORS["transpose"](self, order)

    @property
    def T(self) -> Tensor:
        return OPERATORS["transpose"](self)


