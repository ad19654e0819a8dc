"""`Tensor`: an array of some backend, with a place in the graph.

What operators do is not here: each is declared once in `retrograd.ops`, and its methods are put on
the class by `retrograd.ops.methods`. Here stands what a tensor *is*: its array, its metadata, its
edge into the graph, and the way back to Python.

Note [Tensor slots]
    `_array`    the backend's array; always current, also on immutable libraries
    `_kernels`  the kernels of its backend and device
    `_edge`     None, or (node, output number): where its gradient goes. A leaf that requires a
                gradient has an edge to its `AccumulateGrad`, so `requires_grad` is one test
    `_break`    None, or why a tensor without an edge has none: Note [Breaks] in `autograd.explaining`
    `_cell`     Note [Version cell]
    `_tensor_meta`  None, or what only some tensors have (`retrograd.storage.Meta`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from retrograd import dtypes, overrides
from retrograd.autograd import explaining, hooks
from retrograd.autograd.cautions import warn_of_conversion, warn_of_non_leaf_grad
from retrograd.autograd.explaining import Break
from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import LEAVES, AccumulateGrad, Edge, Node, changed_sink, see_output
from retrograd.device import device
from retrograd.levels import births, is_derived, is_mapped, note_birth, refuse_in_transforms
from retrograd.size import Size, size_of
from retrograd.storage import PARTED, VERSION, Meta, fix, share, write
from retrograd.views import Layout, contiguous_strides, strides_along

__all__ = ["Tensor", "has_node", "own_edge", "rebuild", "side_of", "wrap_array"]

_TYPES = dtypes.DTYPES
_ONLY_OF_LEAVES = (
    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph "
    "that doesn't require differentiation use var_no_grad = var.detach()."
)
_NO_STORAGE = "Cannot access data pointer of Tensor that doesn't have storage"


class Tensor:
    """A multi-dimensional array that can record how it was computed.

    Made by `retrograd.tensor`, the creation functions and operators, rarely by calling the class.

    Source: https://docs.pytorch.org/docs/stable/tensors.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __module__ = "retrograd"
    __slots__ = ("__dict__", "__weakref__", "_array", "_break", "_cell", "_edge", "_kernels", "_tensor_meta")
    __array_priority__ = 1000  # NumPy leaves `array * tensor` to the tensor

    _array: Any
    _kernels: Any
    _edge: Edge | None
    _break: Break | None
    _cell: list[int]
    _tensor_meta: Meta | None

    if TYPE_CHECKING:
        # Operators are put on the class from their declarations (`retrograd.ops.methods`): so a type checker
        # takes any other name for one.
        T: Tensor
        mT: Tensor

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rlshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __rrshift__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]

    def __new__(cls, *data: Any, dtype: Any = None, device: Any = None) -> Any:
        from retrograd.ops import creation

        return creation.legacy_tensor(cls, data, device)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__torch_function__
        if own is not overrides._disabled_torch_function_impl and "_fresh" not in vars(cls):  # no stale view's class
            overrides.interpose()

    __torch_function__: Any = classmethod(overrides.default_torch_function)

    # -- making --------------------------------------------------------------------------------

    @classmethod
    def _restore(cls, array: Any, k: Any, edge: Edge | None, meta: Meta | None) -> Any:
        made = object.__new__(cls)
        made._array, made._kernels, made._edge, made._tensor_meta, made._break = array, k, edge, meta, None
        made._cell = [0]
        if births:
            note_birth(made)
        return made

    def _own_meta(self) -> Meta:
        meta = self._tensor_meta
        if meta is None:
            meta = self._tensor_meta = Meta()
        return meta

    def _set_array(self, array: Any) -> None:
        """Point to another array, and let a leaf's node know it."""
        self._array = array
        if self._edge is not None and type(self._edge[0]) is AccumulateGrad:
            self._edge[0]._array = array

    def _write(self, array: Any) -> None:
        write(self, array)

    # -- what it is ----------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """The size of each dimension."""
        return size_of(self._array.shape)

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the elements."""
        return _TYPES[self._kernels.names[self._array.dtype]]

    @property
    def device(self) -> device:
        """The backend and device that hold the elements."""
        return device(self._kernels)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._array.shape)

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self._array.shape)

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of dimension `dim`."""
        if dim is None:
            return size_of(self._array.shape)
        shape = self._array.shape
        if type(dim) is int and -len(shape) <= dim < len(shape):
            return shape[dim]
        from retrograd.ops.arguments import size_at

        return size_at(shape, dim)

    def numel(self) -> int:
        """The number of elements."""
        return prod(self._array.shape)

    nelement = numel

    def element_size(self) -> int:
        """The size of an element, in bytes."""
        return self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        if self._kernels.sparse:
            raise RuntimeError(
                "nbytes is not defined for sparse tensors.  If you want the size of the constituent tensors, add the "
                "nbytes of the indices and values.  If you want the size of the  equivalent dense tensor, multiply "
                "numel() by element_size()"
            )
        return self.numel() * self.dtype.itemsize

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        return self.dtype.is_signed

    def _layout(self) -> Layout:
        """Shape, strides and offset in the storage; computed from the view steps where arrays have none."""
        k, meta, shape = self._kernels, self._tensor_meta, tuple(self._array.shape)
        if k.mutable:
            return Layout(shape, k.strides(self._array), self._array_offset())
        if meta is None or meta.chain is None:
            return Layout(shape, contiguous_strides(shape))
        return meta.chain.layout()

    def _array_offset(self) -> int:
        meta = self._tensor_meta
        if meta is None or meta.storage is None:
            return 0
        looks_back = meta.chain is not None and meta.chain.conjugated
        return int(self._kernels.offset(meta.mirror.image if looks_back else meta.storage.array, self._array))  # type: ignore[union-attr]

    def _strides(self) -> tuple[int, ...]:
        k, meta, shape = self._kernels, self._tensor_meta, tuple(self._array.shape)
        if k.level:
            return self._array.value._strides()[self._array.mapped :]
        if not k.mutable:
            return (0,) * len(shape) if k.sparse else self._layout().strides
        strides: tuple[int, ...] = k.strides(self._array)
        if meta is None or meta.chain is None or not (1 in shape or 0 in shape):
            return strides
        assert meta.storage is not None
        base = meta.storage.array
        return strides_along(meta.chain, Layout(tuple(base.shape), k.strides(base)), strides, shape)

    def stride(self, dim: int | None = None) -> Any:
        """How many elements apart neighbours along each dimension lie in memory."""
        if dim is None:
            return self._strides()
        from retrograd.ops.arguments import wrap_dim

        return self._strides()[wrap_dim(dim, self.ndim)]

    def storage_offset(self) -> int:
        """Where in its storage the first element lies."""
        return self._layout().offset

    def is_contiguous(self, *, memory_format: Any = None) -> bool:
        """Whether the elements lie in memory in row-major order without holes."""
        k = self._kernels
        if k.is_contiguous is not None:
            return k.is_contiguous(self._array)
        if not k.mutable and not k.level and (self._tensor_meta is None or self._tensor_meta.chain is None):
            return not k.sparse
        return Layout(tuple(self._array.shape), self._strides()).is_contiguous()

    def data_ptr(self) -> int:
        """An address that is equal for tensors that begin at the same element of one memory."""
        if is_mapped(self) or self._kernels.sparse:
            raise RuntimeError(_NO_STORAGE)
        meta = self._tensor_meta
        if self._kernels.mutable:
            if meta is None or meta.chain is None or not meta.chain.conjugated:
                return int(self._kernels.address(self._array))
            start = int(self._kernels.address(meta.storage.array))  # type: ignore[union-attr]  # it has a chain in it
            return start + self.storage_offset() * self.element_size()
        owner = id(self._array if meta is None or meta.storage is None else meta.storage)
        return owner + self.storage_offset() * self.element_size()

    # -- its place in the graph ----------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operators on it are recorded, so that its gradient can be computed."""
        return self._edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if type(value) is not bool:
            raise RuntimeError("requires_grad must be a bool")
        if has_node(self):
            raise RuntimeError(_ONLY_OF_LEAVES if not value else _ONLY_OF_LEAVES.partition(" If you want")[0])
        if value and not self.dtype.is_differentiable:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self._set_requires_grad(value)

    @requires_grad.deleter
    def requires_grad(self) -> None:
        raise RuntimeError("requires_grad must be a bool")

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Say, in place, whether gradients of this leaf are wanted.

        Raises
        ------
        RuntimeError
            If the type is not floating-point or complex, the tensor is no leaf, or a transform of
            `retrograd.func` is running.
        """
        refuse_in_transforms("requires_grad_()", " (or perhaps using retrograd.autograd.functional.* APIs)")
        if type(requires_grad) is not bool:
            raise TypeError(
                "requires_grad_(): argument 'requires_grad' (position 1) must be bool, not "
                f"{type(requires_grad).__name__}"
            )
        if not requires_grad and has_node(self):
            raise RuntimeError(_ONLY_OF_LEAVES)
        if requires_grad and not self.dtype.is_differentiable:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        return self._set_requires_grad(requires_grad)

    def _set_requires_grad(self, value: bool = True) -> Tensor:
        """`requires_grad_` without checks."""
        if value and self.is_inference() and not current_mode().inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        meta = self._tensor_meta
        if meta is not None and (meta.view is not None or (meta.storage is not None and meta.storage.has_views)):
            from retrograd.autograd.stale import set_flag

            set_flag(self, value)
        elif not has_node(self):
            self._edge = changed_sink(self, self._edge, value)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, not by an operator that was recorded."""
        return self._edge is None or type(self._edge[0]) in LEAVES

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operator that made it; None for a leaf."""
        edge = self._edge
        if edge is None or type(edge[0]) in LEAVES:
            return None
        see_output(self, edge)
        return edge[0]

    @property
    def _version(self) -> int:
        """How many in-place writes its memory has seen."""
        if self.is_inference():
            raise RuntimeError("Inference tensors do not track version counter.")
        return self._cell[0] & VERSION

    def is_inference(self) -> bool:
        """Whether it was made in inference mode; see Note [Inference cell] in `retrograd.storage`."""
        return type(self._cell) is not list

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` it is."""
        return 0 if self._edge is None else self._edge[1]

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward passes have added up; None before the first."""
        meta = self._tensor_meta
        if meta is None:  # a leaf that requires a gradient has one
            if self._edge is not None:
                warn_of_non_leaf_grad()
            return None
        if meta.grad is None and not meta.retains_grad and has_node(self):
            warn_of_non_leaf_grad()
        return meta.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            from retrograd.autograd.accumulate import check_grad

            check_grad(self, value)
        self._own_meta().grad = value

    @grad.deleter
    def grad(self) -> None:
        self._own_meta().grad = None

    @property
    def grad_dtype(self) -> dtypes.dtype | None:
        """Of a leaf: the type of its gradient, by default its own; None: whatever arrives.

        A gradient is brought to this type as it arrives. It can be set only while it fits the gradient that
        is there.

        Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.grad_dtype.html
        """
        from retrograd.autograd.accumulate import grad_dtype_of

        return grad_dtype_of(self)

    @grad_dtype.setter
    def grad_dtype(self, value: dtypes.dtype | None) -> None:
        from retrograd.autograd.accumulate import set_grad_dtype

        set_grad_dtype(self, value)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Compute the gradients of the leaves this tensor was computed from, and add them to their `.grad`.

        Parameters
        ----------
        gradient
            The gradient of some scalar by this tensor; of the same shape. May be left out for one
            element.
        retain_graph
            Keep the graph for another pass. By default as `create_graph`.
        create_graph
            Record the pass, so that gradients can be differentiated again.
        inputs
            Leaves to stop at; only theirs are computed.

        Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html
        """
        from retrograd.autograd.api import backward

        backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def detach(self) -> Tensor:
        """The same memory outside of the graph. Writes to it count as writes to this tensor."""
        if self._kernels.level:
            return self._kernels.detached(self)
        return self._alias()

    def _alias(self) -> Tensor:
        """`detach()`; inside `vmap`, at the tensor's own level only."""
        alias = type(self)._restore(self._array, self._kernels, None, None) if type(self) is Tensor else _plain(self)
        alias._cell = self._cell
        share(self, alias)
        mode = current_mode()
        alias._break = explaining.taken_out(own_edge(self), self._break, explaining.DETACHED)
        if mode.profiler is not None:
            mode.profiler.note("aten::detach", mode.profiler.now())
        return alias

    def detach_(self) -> Tensor:
        """Take this tensor out of the graph, in place: it becomes a leaf; inference tensors stay as they are."""
        meta = self._tensor_meta
        if current_mode().inference or self.is_inference():
            return self
        if meta is not None and meta.view is not None:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) "
                "for training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and "
                "hence detach_() cannot be called on these gradients. To fix this error, please refer to the "
                "Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
            )
        if births:
            from retrograd.autograd.captured import refuse_captured

            refuse_captured(self, "detach_")
        hooks.keep_hooks(self, edge := own_edge(self))
        if has_node(self) and type(self._cell) is list:
            self._cell[0] += PARTED
        self._break = explaining.taken_out(edge, self._break, explaining.DETACHED)
        self._edge = None
        if meta is not None:
            meta.tangents = None
            if meta.storage is not None and meta.storage.has_views:
                from retrograd.autograd.stale import mark_stale

                mark_stale(meta.storage, self._cell)
        return self

    @property
    def data(self) -> Tensor:
        """The same memory outside of the graph, with a version counter of its own. Prefer `detach()`."""
        if is_mapped(self) and not is_derived():
            raise RuntimeError("accessing `data` under vmap transform is not allowed")
        alias = _plain(self)
        if self.is_inference():
            alias._cell = self._cell
        elif births:
            alias._cell[1:] = (None, *self._cell[2:3])  # type: ignore[arg-type]  # Note [Captured tensors]
        share(self, alias)
        alias._break = explaining.taken_out(own_edge(self), self._break, explaining.TAKEN_AS_DATA)
        return alias

    @data.setter
    def data(self, value: Tensor) -> None:
        from retrograd.memory import rebind

        rebind(self, value)

    @data.deleter
    def data(self) -> None:
        raise RuntimeError("Deleting tensor data is not allowed. Delete tensor instead!")

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in `.grad`.

        Raises
        ------
        RuntimeError
            If it does not require a gradient, or a transform of `retrograd.func` is running.
        """
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        refuse_in_transforms("retain_grad()")
        if has_node(self) and not self.retains_grad:
            edge = self._edge
            assert edge is not None
            self._own_meta().retains_grad = True
            hooks.retain_at(self, edge)

    @property
    def retains_grad(self) -> bool:
        return self._tensor_meta is not None and self._tensor_meta.retains_grad

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> hooks.RemovableHandle:
        """Have `hook(grad)` called when the gradient of this tensor is computed; its result replaces it.

        Raises
        ------
        RuntimeError
            If the tensor does not require a gradient.

        Examples
        --------
        >>> import retrograd
        >>> x = retrograd.ones(2, requires_grad=True)
        >>> handle = x.register_hook(lambda grad: grad * 10)
        >>> x.sum().backward(); x.grad
        tensor([10., 10.])
        """
        if self._edge is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        return hooks.register_tensor_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> hooks.RemovableHandle:
        """Have `hook(leaf)` called each time a backward pass has added to the leaf's `.grad`."""
        if self._edge is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if not self.is_leaf:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        return hooks.register_post_accumulate_hook(self, hook)

    @property
    def _base(self) -> Tensor | None:
        return (
            None
            if self._tensor_meta is None or self._tensor_meta.view is None or self.is_inference()
            else self._tensor_meta.view.base
        )

    def _is_view(self) -> bool:
        return self._base is not None

    # -- back to Python ------------------------------------------------------------------------

    def numpy(self, *, force: bool = False) -> Any:
        """The elements as a NumPy array; on the NumPy backend the same memory.

        Raises
        ------
        RuntimeError
            If the tensor requires a gradient and `force` is not set.
        """
        if type(force) is not bool:
            raise TypeError(f"numpy(): argument 'force' must be bool, not {type(force).__name__}")
        if self._kernels.sparse:
            name = "Sparse" if self.is_sparse else "SparseCsr"
            raise TypeError(f"can't convert {name} layout tensor to numpy. Use Tensor.to_dense() first.")
        if self._kernels.meta:
            raise TypeError(
                "can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
                "first."
            )
        if self.dtype in dtypes.FLOAT8:
            raise TypeError(f"Got unsupported ScalarType {self.dtype.type_name}")
        if self.requires_grad and not force and current_mode().grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        for bit, has in (("conjugate", self.is_conj()), ("negative", self.is_neg())):
            if has and not force:
                way = f"tensor.resolve_{bit[: 4 if bit == 'conjugate' else 3]}().numpy()"
                raise RuntimeError(f"Can't call numpy() on Tensor that has {bit} bit set. Use {way} instead.")
        fix(self)
        return self._host()

    def _host(self) -> Any:
        """The elements on the host. Inside `vmap` a tensor that differs by sample has none."""
        if is_mapped(self):
            raise RuntimeError(_NO_STORAGE)
        return self._kernels.to_host(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        host = self.numpy()
        return host.astype(dtype) if dtype is not None and host.dtype != dtype else host

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """What NumPy's functions of a tensor return: a tensor again."""
        from retrograd.ops.creation import as_tensor

        return as_tensor(array)

    def __dlpack__(self, **arguments: Any) -> Any:
        if self._kernels.sparse:
            raise BufferError("Can't export tensors with layout other than retrograd.strided")
        if self._edge is not None:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        if is_mapped(self):
            raise RuntimeError(_NO_STORAGE)
        if self._kernels.meta:
            raise BufferError("Cannot pack tensors on meta")
        return self._array.__dlpack__(**arguments)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def item(self) -> Any:
        """The only element, as a Python number.

        Raises
        ------
        RuntimeError
            If there is not exactly one element.
        """
        if self.numel() != 1:
            if self._kernels.level:
                self._kernels.to_host(self._array)  # refused under `vmap`, which is the first thing to say
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        if self._kernels.meta:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        value = self._kernels.to_host(self._array).reshape(()).item()
        return float(value) if self.dtype.is_floating_point else value

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers; a number for a 0-dimensional tensor."""
        if self._kernels.sparse:
            raise RuntimeError(_NO_STORAGE)
        host = self._host()
        return host.astype("float32").tolist() if host.dtype.kind == "V" else host.tolist()

    def __len__(self) -> int:
        if not self._array.shape:
            raise TypeError("len() of a 0-d tensor")
        return self._array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self._array.shape:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __bool__(self) -> bool:
        if self.numel() != 1:
            if self.numel() == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        if is_mapped(self):
            raise RuntimeError(
                "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't "
                "support that yet, please file an issue at https://github.com/pytorch/pytorch/issues ."
            )
        return bool(self.item())

    def _only_element(self) -> Any:
        if self.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __float__(self) -> float:
        value = self._only_element()
        if current_mode().grad and self._edge is not None:
            warn_of_conversion()
        if isinstance(value, complex):
            if value.imag:
                raise RuntimeError("value cannot be converted to type double without overflow")
            value = value.real
        return float(value)

    def __int__(self) -> int:
        return int(self._only_element())

    def __complex__(self) -> complex:
        value = complex(self._only_element())
        if current_mode().grad and self._edge is not None:
            warn_of_conversion()
        return value

    def __index__(self) -> int:
        if self.dtype.category > dtypes.Category.INTEGER or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __hash__(self) -> int:
        return id(self)

    def __contains__(self, element: Any) -> bool:
        if not isinstance(element, (Tensor, bool, int, float, complex)):
            raise RuntimeError(
                f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
            )
        return bool((self == element).any().item())

    def __repr__(self, *, tensor_contents: str | None = None) -> str:
        from retrograd.printing import tensor_text

        return tensor_text(self, tensor_contents=tensor_contents)

    def __format__(self, spec: str) -> str:
        if not self._array.shape and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __copy__(self) -> Tensor:
        from retrograd.copies import copied

        return copied(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        from retrograd.copies import deep_copied

        return deep_copied(self, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        from retrograd.copies import reduced

        return reduced(self)


_read_edge: Callable[[Tensor], Edge | None] = Tensor.__dict__["_edge"].__get__


def own_edge(tensor: Tensor) -> Edge | None:
    """The edge that a tensor was last given, whether or not its memory has been written to since.

    See Note [Stale views] in `retrograd.autograd.stale`.
    """
    return _read_edge(tensor)


def has_node(tensor: Tensor) -> bool:
    """Whether that edge leads to the node of an operator."""
    edge = _read_edge(tensor)
    return edge is not None and type(edge[0]) not in LEAVES


def _plain(source: Tensor) -> Tensor:
    return Tensor._restore(source._array, source._kernels, None, None)


def wrap_array(array: Any, k: Any) -> Tensor:
    """A new tensor, outside of any graph, around a backend's array that nobody else holds."""
    made = object.__new__(Tensor)
    made._array = array
    made._kernels = k
    made._edge = None
    made._cell = [0]
    made._tensor_meta = None
    made._break = None
    if births:
        note_birth(made)
    return made


def side_of(array: Any, k: Any) -> Any:
    """The table that an array, of the backend of `k`, belongs to: Note [Sparse tensors] in `retrograd.sparse.coo`."""
    return getattr(array, "side", k.dense)


def rebuild(array: Any, k: Any, edge: Edge | None, tangents: dict[int, Tensor] | None = None) -> Tensor:
    """A saved tensor as it was in the graph; the leaf itself if it is one and still has this array."""
    if edge is not None and type(edge[0]) is AccumulateGrad:
        variable = edge[0].variable
        if variable._array is array:
            return variable
    made = wrap_array(array, side_of(array, k) if k.sparse else k)
    made._edge = edge
    if tangents is not None:
        made._own_meta().tangents = tangents
    return made
