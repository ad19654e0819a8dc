"""Creation functions against PyTorch, and what they share memory with."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from expressions import check, check_error_type
from programs import assert_same

import retrograd

VALUES = """
torch.tensor([[1, 2], [3, 4]])
torch.tensor([1, 2.5])
torch.tensor([True, False])
torch.tensor([True, 2])
torch.tensor([True, 1.5])
torch.tensor([1, 2j])
torch.tensor([])
torch.tensor([[]])
torch.tensor([[], []])
torch.tensor([[[], []]], dtype=torch.int32)
torch.tensor(3)
torch.tensor(-2**63)
torch.tensor(range(3))
torch.tensor(((1, 2), [3, 4]))
torch.tensor(np.float64(3))
torch.tensor(np.int32(4))
torch.tensor([np.float64(1), 2])
torch.tensor([np.int32(4)])
torch.tensor([np.bool_(True)])
torch.tensor(np.array(5.0))
torch.tensor(np.arange(6).reshape(2, 3).T)
torch.tensor(np.arange(6.0, dtype=np.float32)[::2])
torch.tensor([np.array([1, 2]), np.array([3, 4])])
torch.tensor(np.array([1 + 2j], dtype=np.complex64))
torch.tensor([torch.tensor(1), torch.tensor(2.0)])
torch.tensor([torch.tensor(1.0, dtype=torch.float64), 1])
torch.tensor([torch.tensor(True)])
torch.tensor([[torch.tensor(1), 2], [3, torch.tensor(4)]])
torch.tensor(torch.tensor([1.0, 2.0]))
torch.tensor(torch.tensor([1.7]), dtype=torch.int64)
torch.tensor([1, 2], dtype=torch.bool)
torch.tensor([1.7, -2.2], dtype=torch.int32)
torch.tensor([-1], dtype=torch.uint8)
torch.tensor([1e40])
torch.tensor([70000.0], dtype=torch.float16)
torch.tensor([1.0009765625001], dtype=torch.float16)
torch.tensor([1.5], dtype=torch.bfloat16)
torch.tensor([float('nan')], dtype=torch.bool)
torch.tensor([1j], dtype=torch.bool)
torch.tensor([1.5, 2], dtype=torch.complex128)
torch.tensor([1], dtype=float)
torch.tensor([1.5], dtype=int)
torch.tensor([1, 0], dtype=bool)
torch.tensor([1], dtype=complex)
torch.tensor([1.0, 2.0], requires_grad=True)
torch.tensor(2**40, dtype=torch.float32)
torch.as_tensor([1, 2.0])
torch.as_tensor(np.arange(3), dtype=torch.float32)
torch.as_tensor(torch.tensor([1.0], requires_grad=True), dtype=torch.float64)
torch.asarray([1, 2])
torch.asarray(np.arange(3.0))
torch.asarray(torch.tensor([1.0]), requires_grad=True)
torch.asarray(torch.tensor([1.0]), copy=True)
torch.from_numpy(np.arange(3))
torch.frombuffer(bytearray(b"abcd"), dtype=torch.uint8)
torch.frombuffer(bytearray(b"abcdefgh"), dtype=torch.int16, offset=2, count=2)
torch.zeros(2, 3)
torch.zeros((2, 3), dtype=torch.int8)
torch.zeros([2])
torch.zeros(())
torch.zeros(0, 3)
torch.zeros(torch.Size([2]))
torch.zeros(np.int64(2))
torch.zeros(torch.tensor(2))
torch.zeros(size=(2,))
torch.zeros(2, dtype=torch.complex64)
torch.zeros(2, layout=torch.strided, pin_memory=False)
torch.zeros(2, dtype=torch.bool)
torch.ones(2, requires_grad=True)
torch.ones((1, 2), dtype=torch.bfloat16)
torch.empty(2, 3).shape
torch.empty((0,))
torch.empty_strided((2, 3), (1, 2)).shape
torch.full((2,), 1)
torch.full((2,), 1.5)
torch.full((2,), True)
torch.full((2,), 1j)
torch.full((2,), 1.9, dtype=torch.int32)
torch.full((), inf)
torch.full((2,), -1, dtype=torch.uint8)
torch.arange(5)
torch.arange(5.0)
torch.arange(1, 5)
torch.arange(1, 5, 2)
torch.arange(5, 1, -1)
torch.arange(0, 1, 0.25)
torch.arange(1, 2.5, 0.5)
torch.arange(0.1, 1, 0.1)
torch.arange(0)
torch.arange(3, 3)
torch.arange(0.5, 5.2, dtype=torch.int64)
torch.arange(5, dtype=torch.float16)
torch.arange(5, dtype=torch.bfloat16)
torch.arange(torch.tensor(3))
torch.arange(torch.tensor(3.0))
torch.arange(True)
torch.arange(np.int64(3))
torch.arange(end=3)
torch.arange(1, end=3)
torch.arange(start=1, end=4, step=2)
torch.arange(2**53, 2**53 + 3)
torch.arange(300, 302, dtype=torch.uint8)
torch.arange(3, requires_grad=True, dtype=torch.float32)
torch.linspace(0, 1, 5)
torch.linspace(-3, 10, 7)
torch.linspace(0, 1, 1)
torch.linspace(0, 1, 0)
torch.linspace(0, 10, 5, dtype=torch.int64)
torch.linspace(-3, 4, 6, dtype=torch.int32)
torch.linspace(0, 1j, 3)
torch.linspace(0, 1, 3, dtype=torch.float64)
torch.linspace(torch.tensor(0), torch.tensor(1.0), 3)
torch.linspace(start=0, end=1, steps=3)
torch.logspace(0, 2, 3)
torch.logspace(0, 2, 5, base=2)
torch.logspace(0, 2, 3, base=2, dtype=torch.int64)
torch.logspace(0, 2, 5, -2.0)
torch.eye(3)
torch.eye(2, 3, dtype=torch.bool)
torch.eye(0)
torch.tril_indices(2, 3)
torch.tril_indices(3, 3, -1)
torch.triu_indices(3, 3, 1, dtype=torch.int32)
torch.triu_indices(0, 3)
torch.zeros_like(torch.tensor([1, 2]), dtype=torch.float16, requires_grad=True)
torch.ones_like(torch.zeros(2, 3, dtype=torch.float64))
torch.full_like(torch.tensor([1, 2]), 2.7)
torch.empty_like(torch.zeros(2, 3)).shape
torch.zeros_like(torch.ones(2, requires_grad=True))
torch.scalar_tensor(3)
torch.scalar_tensor(True)
torch.scalar_tensor(3, dtype=torch.int32)
torch.tensor([1, 2]).new_tensor([1.5])
torch.tensor([1.0]).new_tensor([1, 2])
torch.tensor([1, 2]).new_tensor(torch.tensor(1))
torch.tensor([1, 2]).new_full((2,), 1.5)
torch.tensor([1, 2]).new_full((2,), True)
torch.tensor([1, 2]).new_zeros(2, 3)
torch.tensor([1, 2]).new_ones((2, 3), dtype=torch.float32)
torch.tensor([1.0]).new_empty(2, requires_grad=True).requires_grad
torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3, 4, 5]), indexing="ij")
torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3, 4, 5]), indexing="xy")
torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3]), torch.tensor([4, 5]), indexing="xy")
torch.meshgrid([torch.tensor(1), torch.tensor([2, 3])], indexing="ij")
torch.meshgrid(torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0]), indexing="ij")
torch.cartesian_prod(torch.tensor([1, 2]), torch.tensor([3, 4]))
torch.cartesian_prod(torch.tensor([1, 2]))
torch.combinations(torch.tensor([1, 2, 3]))
torch.combinations(torch.tensor([1, 2, 3]), 2, True)
torch.combinations(torch.tensor([1, 2, 3]), 3)
torch.combinations(torch.tensor([1.0]))
torch.Tensor()
torch.Tensor([1, 2])
torch.Tensor((2, 3))
torch.Tensor(2, 3).shape
torch.Tensor(torch.Size([2, 3])).shape
torch.Tensor(torch.tensor([1, 2]))
torch.Tensor(torch.ones(2, requires_grad=True)).grad_fn.name()
torch.Tensor(np.array([1, 2]))
torch.ones(2, dtype=torch.float64).new([1, 2])
torch.ones(2, dtype=torch.int64).new((3,))
torch.ones(2, dtype=torch.int64).new(2, 3).shape
torch.ones(2, dtype=torch.float64).new()
torch.ones(2).new(torch.ones(3).size()).shape
torch.ones(2).new(torch.ones(2, requires_grad=True)).requires_grad
torch.ones(2).new(np.ones(2))
isinstance(torch.ones(2), torch.cuda.FloatTensor)
torch.FloatTensor([1, 2])
torch.LongTensor([1.5])
torch.LongTensor(2, 3).shape
torch.BoolTensor([1, 0])
torch.DoubleTensor
torch.LongTensor.dtype
isinstance(torch.tensor([1]), torch.LongTensor)
isinstance(torch.tensor([1]), torch.FloatTensor)
""".strip().splitlines()

ERRORS = """
torch.tensor([[1, 2], [3]])
torch.tensor([1, 'a'])
torch.tensor('abc')
torch.tensor(b'ab')
torch.tensor(None)
torch.tensor([None])
torch.tensor([[1, 2], 3])
torch.tensor([1, [2]])
torch.tensor([1.0, [2]])
torch.tensor({})
torch.tensor(object())
torch.tensor([object()])
torch.tensor(2**63)
torch.tensor([2**64])
torch.tensor([300], dtype=torch.uint8)
torch.tensor(300, dtype=torch.uint8)
torch.tensor([200], dtype=torch.int8)
torch.tensor([1e10], dtype=torch.int32)
torch.tensor([1e30], dtype=torch.int64)
torch.tensor([float('nan')], dtype=torch.int32)
torch.tensor(1j, dtype=torch.float32)
torch.tensor([1j], dtype=torch.int64)
torch.tensor([1, 2], requires_grad=True)
torch.tensor([1], dtype='float32')
torch.tensor([1], dtype=np.float32)
torch.tensor([1], device=3.5)
torch.tensor(np.array([1, 2])[::-1])
torch.tensor(np.array([1.0], dtype='>f4'))
torch.from_numpy([1])
torch.ones(2).new(2.5)
torch.ones(2).new("a")
torch.ones(2).new("a", 2)
torch.ones(2).new(torch.ones(2), torch.ones(2))
torch.ones(2).new(torch.ones(2), torch.ones(2), torch.Size([2]))
torch.ones(2).new((2, 3), 2)
torch.ones(2).new(2, torch.ones(2))
torch.Tensor(torch.ones(2), 1)
torch.zeros(2, torch.ones(2))
torch.frombuffer(bytearray(), dtype=torch.uint8)
torch.zeros('a')
torch.zeros(2.5)
torch.zeros(2, 2.5)
torch.zeros((2, 2.5))
torch.zeros()
torch.zeros(None)
torch.zeros(2, foo=1)
torch.zeros(2, dtype=3)
torch.zeros(2, dtype=torch.int32, requires_grad=True)
torch.ones(2, requires_grad=3)
torch.full(3, 1)
torch.full((2,), 'a')
torch.full((2,), 300, dtype=torch.uint8)
torch.full((2,), 1j, dtype=torch.float32)
torch.arange(5, 1)
torch.arange(1, 5, 0)
torch.arange(1, 5, -1)
torch.arange(inf)
torch.arange('a')
torch.arange(1j)
torch.arange(5, dtype=torch.bool)
torch.arange(2, dtype=torch.complex64)
torch.linspace(0, 1, -1)
torch.linspace(0, 1, 3, dtype=torch.bool)
torch.linspace(0, torch.tensor([1]), 3)
torch.eye(-1)
torch.eye(2, -1)
torch.eye(2.0)
torch.tril_indices(-1, 2)
torch.tril_indices(2, 2, dtype=torch.float32)
torch.zeros_like(3)
torch.scalar_tensor(1j)
torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3.0]), indexing='ij')
torch.meshgrid(indexing='ij')
torch.meshgrid(torch.tensor([1]), indexing='q')
torch.Tensor(2.5)
torch.Tensor('a')
torch.Tensor(None)
torch.zeros(2, out=torch.ones(2), dtype=torch.int64)
""".strip().splitlines()

ERROR_TYPES = """
torch.tensor(np.array(['a']))
torch.tensor(np.array([object()]))
torch.zeros(-1)
torch.arange()
torch.arange(5, step=2)
torch.linspace(0, 1, 2.5)
torch.Tensor(2, 3.0)
torch.combinations(torch.tensor([[1]]))
""".strip().splitlines()


@pytest.mark.parametrize("line", VALUES)
def test_values_are_pytorchs(line: str, backend: str) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS)
def test_errors_are_pytorchs(line: str, backend: str) -> None:
    check(line)


@pytest.mark.parametrize("line", ERROR_TYPES)
def test_errors_are_of_pytorchs_types(line: str, backend: str) -> None:
    check_error_type(line)


def test_a_default_dtype_of_double_decides() -> None:
    retrograd.set_default_dtype(retrograd.float64)
    try:
        assert retrograd.tensor(1.0).dtype is retrograd.float64
        assert retrograd.tensor(1j).dtype is retrograd.complex128
        assert retrograd.linspace(0, 1, 3).dtype is retrograd.float64
        assert retrograd.Tensor([1]).dtype is retrograd.float64
    finally:
        retrograd.set_default_dtype(retrograd.float32)


def test_tensor_of_a_tensor_warns() -> None:
    source = retrograd.tensor([1.0], requires_grad=True)
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        made = retrograd.tensor(source)
    assert made.is_leaf
    assert not made.requires_grad


def test_meshgrid_warns_without_indexing(backend: str) -> None:
    with pytest.warns(UserWarning, match="required to pass the indexing argument"):
        retrograd.meshgrid(retrograd.arange(2))


def test_tensor_copies(backend: str) -> None:
    array = np.zeros(3, np.float32)
    made = retrograd.tensor(array)
    array[0] = 5
    assert made.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["from_numpy", "as_tensor", "asarray", "from_dlpack"])
def test_shared_memory_on_numpy(name: str) -> None:
    array = np.zeros(3, np.float32)
    made = getattr(retrograd, name)(array)
    array[0] = 5
    assert made.tolist() == [5.0, 0.0, 0.0]
    made[1] = 7
    assert array.tolist() == [5.0, 7.0, 0.0]


@pytest.mark.parametrize("name", ["from_numpy", "as_tensor", "asarray", "from_dlpack"])
def test_an_immutable_backend_keeps_its_values(name: str) -> None:
    pytest.importorskip("jax")
    with retrograd.use_backend("jax"):
        array = np.zeros(3, np.float32)
        made = getattr(retrograd, name)(array)
        array[0] = 5
        gc.collect()
        assert made.tolist() == [0.0, 0.0, 0.0]


def test_asarray_refuses_a_copy_it_needs() -> None:
    with pytest.raises(ValueError, match="can't alias arbitrary sequence"):
        retrograd.asarray([1, 2], copy=False)
    with pytest.raises(ValueError, match="can't alias tensor with dtype 'Long' into dtype 'Float'"):
        retrograd.asarray(retrograd.tensor([1]), dtype=retrograd.float32, copy=False)


def test_asarray_of_what_requires_a_gradient(backend: str) -> None:
    assert_same("""
    import warnings
    leaf = lambda: torch.ones(2, requires_grad=True)
    for make in leaf, lambda: leaf() * 2, lambda: torch.ones(2):
        for copy in None, True, False:
            for dtype in None, torch.float32, torch.float64, torch.int64:
                for flag in {"requires_grad": True}, {"requires_grad": False}, {}:
                    x = make()
                    def convert():
                        with warnings.catch_warnings(action="ignore"):
                            y = torch.asarray(x, copy=copy, dtype=dtype, **flag)
                        print(y is x, y.grad_fn and y.grad_fn.name(), y, x.requires_grad)
                    attempt(convert)
    attempt(torch.asarray, torch.tensor([1]), requires_grad=True)
    attempt(torch.asarray, [1], requires_grad=True)
    attempt(torch.asarray, [1.0], copy=False)
    print(torch.asarray([1.0], requires_grad=None), torch.asarray([1.0], requires_grad=True))
    """)


def test_asarray_warns_once_of_a_gradient_nobody_asked_for() -> None:
    from retrograd.ops import creation

    creation._warn_of_inherited.cache_clear()
    leaf = retrograd.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="defaults to obj.requires_grad") as caught:
        assert retrograd.asarray(leaf) is retrograd.asarray(leaf) is leaf
    assert [each.filename for each in caught] == [__file__]


def test_from_numpy_warns_of_read_only_memory() -> None:
    array = np.zeros(2)
    array.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        retrograd.from_numpy(array)


def test_from_dlpack_of_jax_arrays(backend: str) -> None:
    jnp = pytest.importorskip("jax.numpy")
    assert retrograd.from_dlpack(jnp.arange(3.0)).tolist() == [0.0, 1.0, 2.0]


def test_numpy_types_that_tensors_lack() -> None:
    with pytest.raises(TypeError, match=r"can't convert np.ndarray of type numpy.str_. The only supported types"):
        retrograd.tensor(np.array(["a"]))


def test_device_decides_over_the_default() -> None:
    pytest.importorskip("jax")
    assert retrograd.zeros(2, device="jax").device == "jax"
    with retrograd.use_backend("jax"):
        assert retrograd.tensor([1], device="numpy").device == "numpy"
        like = retrograd.zeros(2, device="numpy")
    assert like.new_ones(2).device == "numpy"
    assert retrograd.ones_like(like, device="jax").device == "jax"


LAYOUTS = [
    "z", "z.permute(2, 0, 1)", "z.transpose(0, 1)", "z[:, ::2]", "z.permute(1, 2, 0)[::2]", "z[0].t()",
    "torch.zeros(3, 1).expand(3, 5)", "torch.zeros(1, 5).expand(3, 5)",
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_like_another_lie_in_memory_as_it_does(layout: str) -> None:
    """On NumPy, whose arrays have strides."""
    for make in ("zeros_like({})", "ones_like({})", "empty_like({})", "full_like({}, 2.0)"):
        check(f"[torch.{make.format(layout)}.stride() for z in [torch.zeros(4, 6, 2)]]")
    check(
        f"[torch.zeros_like({layout}, memory_format=torch.contiguous_format).stride() for z in [torch.zeros(4, 6, 2)]]"
    )


def test_empty_strided_has_the_strides_on_numpy() -> None:
    assert retrograd.empty_strided((2, 3, 4), (4, 8, 1)).stride() == (4, 8, 1)
    assert retrograd.empty_strided((2, 3), (1, 1)).stride() == (1, 1)
    assert retrograd.empty_strided((3,), (2,)).fill_(2.0).sum() == 6


def test_out_is_overwritten_and_resized(backend: str) -> None:
    out = retrograd.ones(2)
    version = out._version
    assert retrograd.zeros(2, out=out) is out
    assert out.tolist() == [0.0, 0.0]
    with pytest.warns(UserWarning, match="does not match the computed number of elements 3"):
        retrograd.arange(3, out=out)
    assert out.tolist() == [0.0, 1.0, 2.0]
    assert out._version == version + 2


def test_no_grad_does_not_stop_requires_grad(backend: str) -> None:
    with retrograd.no_grad():
        assert retrograd.ones(2, requires_grad=True).requires_grad
        assert retrograd.tensor([1.0], requires_grad=True).requires_grad


def test_meshgrid_has_gradients(backend: str) -> None:
    x = retrograd.tensor([1.0, 2.0], requires_grad=True)
    a, _ = retrograd.meshgrid(x, retrograd.tensor([1.0, 1.0, 1.0]), indexing="ij")
    a.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_spaced_numbers_agree_between_backends(dtype: str) -> None:
    pytest.importorskip("jax")

    def made(backend: str) -> list[Any]:
        with retrograd.use_backend(backend):
            kind = getattr(retrograd, dtype)
            return [
                retrograd.arange(0, 7, 0.3, dtype=kind).tolist(),
                retrograd.linspace(-1, 3, 101, dtype=kind).tolist(),
            ]

    assert made("numpy") == made("jax")


def test_new_tensors_of_tensors_are_warned_of() -> None:
    x = retrograd.ones(2)
    with pytest.warns(UserWarning, match=r"recommended .* rather than tensor\.new_tensor\(sourceTensor\)") as found:
        x.new_tensor(x)
    assert found[0].filename == __file__
    x.new_tensor([x[0]])
