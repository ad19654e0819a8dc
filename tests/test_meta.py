"""The device `meta`: every kernel and every operator gives there what NumPy's gives, but for the elements."""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from kernel_samples import _to_backend, all_samples
from opinfo import OPS, OpInfo, Sample
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS
from programs import assert_same

import retrograd
from retrograd.device import kernels_of

NEED_ELEMENTS = set(
    "allclose bincount equal histc masked_select unique unique_consecutive nn.functional.gaussian_nll_loss "
    "nn.functional.one_hot".split()
)
"""Operators whose results, or checks, depend on values, in PyTorch too."""


def strides_of(shape: Any, strides: Any) -> tuple[int, ...]:
    """The strides that are read."""
    return () if 0 in shape else tuple(s for n, s in zip(shape, strides, strict=True) if n > 1)


def raw(k: Any, result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(raw(k, each) for each in result)
    array = k.as_array(result)
    return k.names[array.dtype], tuple(array.shape), strides_of(array.shape, k.strides(array))


def test_every_kernel_makes_what_numpys_makes() -> None:
    numpy, meta = kernels_of("numpy"), kernels_of("meta")
    failures, ran = [], set()
    for sample in all_samples():
        if sample.kernel == "nonzero" or sample.note == "many-transposed":  # NumPy's quick ways are row-major
            continue
        with numpy.quiet():
            expected = raw(numpy, getattr(numpy, sample.kernel)(*_to_backend(numpy, sample.arguments)))
        found = raw(meta, getattr(meta, sample.kernel)(*_to_backend(meta, sample.arguments)))
        if sample.kernel == "cofactor":  # of NumPy, as LAPACK leaves it; no operator shows it
            found, expected = found[:2], expected[:2]
        ran.add(sample.kernel)
        if found != expected:
            failures.append(f"{sample}: {found} != {expected}")
    assert not failures, "\n".join(failures)
    assert len(ran) > 150


def described(results: list[Any]) -> list[Any]:
    """All of tensors but their elements."""
    return [
        (tuple(each.shape), each.dtype, strides_of(each.shape, each.stride()), type(each.grad_fn).__name__)
        if isinstance(each, retrograd.Tensor)
        else type(each)
        for each in results
    ]


def everything(op: OpInfo, sample: Sample, device: str) -> Any:
    leaves = []
    for spec, values in zip(sample.specs(), sample.arrays(op.name), strict=True):
        leaf = retrograd.tensor(values, device=device)
        leaves.append(leaf.requires_grad_(op.differentiable and spec.is_differentiable))
    args, kwargs = sample.filled(leaves)
    result = op(retrograd, args, kwargs)
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    wanted = [each for each in leaves if each.requires_grad]
    roots = [each for each in results if getattr(each, "requires_grad", False)]
    if not (wanted and roots):
        return described(results), []
    ones = [retrograd.ones_like(each) for each in roots]
    grads = retrograd.autograd.grad(roots, wanted, ones, allow_unused=True, materialize_grads=True)
    return described(results), [(tuple(each.shape), each.dtype) for each in grads]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0", "ignore:index_reduce.. is in beta")
def test_every_operator_makes_what_numpys_makes() -> None:
    failures, refused = [], set()
    for op in (*OPS, *NN_OPS, *PLACE_OPS):
        for sample in op.samples:
            expected = everything(op, sample, "numpy")
            try:
                with retrograd.device("meta"):
                    found = everything(op, sample, "meta")
            except (RuntimeError, NotImplementedError) as error:
                refused.add(op.name)
                if op.name not in NEED_ELEMENTS:
                    failures.append(f"{op}({sample}): {error!r}")
                continue
            if found != expected:
                failures.append(f"{op}({sample}): {found} != {expected}")
    assert not failures, "\n".join(failures)
    assert refused == NEED_ELEMENTS


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0", "ignore:index_reduce.. is in beta")
def test_operators_stay_on_their_device_where_meta_is_the_default() -> None:
    wrong = []
    for op in (*OPS, *NN_OPS, *PLACE_OPS):
        sample = op.samples[0]
        leaves = [retrograd.tensor(values, device="numpy") for values in sample.arrays(op.name)]
        args, kwargs = sample.filled(leaves)
        with retrograd.device("meta"):
            result = op(retrograd, args, kwargs) if leaves else ()
        results = result if isinstance(result, (tuple, list)) else [result]
        wrong += [op.name for each in results if isinstance(each, retrograd.Tensor) and each.is_meta]
    assert not wrong


NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.recurrent = nn.GRU(8, 6, batch_first=True)
        self.last = nn.Linear(6, 10)

    def forward(self, x):
        x = F.dropout(F.relu(self.norm(self.first(x)))).flatten(2).transpose(1, 2)
        x = self.recurrent(x + self.attention(x, x, x)[0])[0]
        return self.last(x[:, -1])
"""


def test_a_model_is_made_run_and_trained() -> None:
    assert_same(
        """
        with torch.device("meta"):
            net = Net()
        x = torch.randn(4, 3, 8, 8, device="meta")
        loss = F.cross_entropy(net(x), torch.zeros(4, dtype=torch.int64, device="meta"))
        loss.backward()
        print(loss, {each.grad.device.type for each in net.parameters()})
        print([(tuple(each.grad.shape), each.grad.stride()) for each in net.parameters()])
        for kind in torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop:
            optimizer = kind(net.parameters(), lr=0.1)
            optimizer.step()
        print(nn.utils.clip_grad_norm_(net.parameters(), 1.0), net.norm.num_batches_tracked)
        """,
        NET,
    )


def test_modules_move_there_and_back_without_elements() -> None:
    assert_same(
        """
        net = nn.Linear(2, 3, device="meta")
        print(net.weight, net.weight.is_meta, net.bias.nbytes)
        attempt(net.to, "cpu")
        attempt(net.load_state_dict, nn.Linear(2, 3).state_dict())
        print(net.weight.is_meta, nn.Linear(2, 3).to("meta").weight)
        print(nn.init.kaiming_uniform_(net.weight), nn.init.zeros_(net.bias))
        print(net.load_state_dict(nn.Linear(2, 3).state_dict(), assign=True))
        print(net.weight.is_meta, net.weight.requires_grad)
        full = nn.Linear(2, 3, device="meta").to_empty(device="cpu")
        print(full.weight.is_meta, full.weight.shape)
        attempt(full.load_state_dict, nn.Linear(2, 3, device="meta").state_dict())
        """
    )


def test_what_asks_for_elements_is_refused() -> None:
    assert_same(
        """
        x = torch.ones(2, 3, device="meta")
        one = x.sum()
        for act in (
            x.numpy, x.tolist, one.item, lambda: bool(one), lambda: int(one), lambda: float(one), x.cpu,
            lambda: x.to("cpu"), lambda: torch.ones(2, 3).copy_(x), lambda: range(3)[one.long()], x.__dlpack__,
            lambda: x.repeat_interleave(torch.ones(2, dtype=torch.int64, device="meta"), 0),
            lambda: torch.ones(2, 3).to("meta").requires_grad_().cpu(),
        ):
            attempt(act)
        leaf = torch.ones(2, requires_grad=True)
        attempt(leaf.to("meta").sum().backward)
        """
    )
    for act in (lambda x: x.nonzero(), lambda x: x[x > 0], lambda x: x.masked_select(x > 0)):
        with pytest.raises(NotImplementedError, match="attempted to run this operator with Meta tensors"):
            act(retrograd.ones(2, device="meta"))


def test_what_is_shown_of_it() -> None:
    assert_same(
        """
        x = torch.ones(2, 3, device="meta", dtype=torch.float64, requires_grad=True)
        print(x, x * 2, x.detach().long(), torch.empty(0, device="meta"), nn.Parameter(x.detach()), sep=chr(10))
        print(x.device, repr(x.device), x.device.type, x.device.index, x.get_device(), x.is_meta, x.is_cpu)
        print(x.data_ptr())
        print(x.type(), x.untyped_storage(), x.untyped_storage().nbytes(), x.nbytes, x.element_size())
        """
    )


def test_strides_are_pytorchs() -> None:
    assert_same(
        """
        x = torch.empty(2, 3, 4, device="meta")
        t = x.permute(2, 0, 1)
        for each in (
            t + 1, t + torch.empty(2, 3, device="meta"), t * t.contiguous(), t.exp().clone(), t.contiguous(), t.sum(0),
            t.to(torch.float64), t[1:, :, ::2], t.reshape(4, 6), t.flatten(), x[:, 0].t(), torch.cat([t, t]),
            t.unfold(0, 2, 1),
            torch.empty_like(t), torch.empty_strided((2, 3), (1, 2), device="meta"), torch.ones(2, 3).t().to("meta"),
            torch.empty_like(torch.ones(2, 3).t(), device="meta"), x.as_strided((2, 2), (1, 5), 3), x.diagonal(0, 1, 2),
            torch.view_as_complex(torch.empty(3, 2, device="meta")), x.expand(5, 2, 3, 4), x.softmax(0), t.softmax(0),
        ):
            print(tuple(each.shape), each.stride(), each.storage_offset(), each.is_contiguous())
        """
    )


def test_writes_count_and_are_checked() -> None:
    assert_same(
        """
        w = torch.zeros(4, 5, device="meta")
        w[1].zero_()
        w[0] = 1
        w[:, 1] = torch.ones(4, device="meta")
        w[w > 0] = 2
        w[torch.tensor([0, 1])] += 1
        w.add_(torch.tensor(2.0)).copy_(torch.ones(5))
        print(w._version, w[torch.tensor([0, 1]), torch.tensor([2, 3])])
        w.t_()
        print(w)
        """
    )
    with pytest.raises(RuntimeError, match=r"The size of tensor a \(5\) must match the size of tensor b \(3\)"):
        retrograd.ones(4, 5, device="meta").add_(retrograd.ones(3, device="meta"))
    for target, given in (("meta", "cpu"), ("cpu", "meta")):
        with pytest.raises(RuntimeError, match="is not on the expected device"):
            retrograd.ones(3, device=target).add_(retrograd.ones(3, device=given))
    with pytest.raises(RuntimeError, match=r"Tensor on device .*cpu is not on the expected device meta!"):
        retrograd.ones(3, device="meta") + retrograd.ones(3)


def test_memory_is_resized_and_looked_at() -> None:
    assert_same(
        """
        x = torch.randn(3, 4, device="meta")
        storage = x.untyped_storage()
        storage.resize_(0)
        print(storage.nbytes(), storage.resize_(64).nbytes(), x.shape, x.untyped_storage().nbytes())
        y = torch.empty(0, device="meta").set_(x)
        print(y.shape, y.untyped_storage().nbytes(), x[1:].resize_(2).storage_offset(), x.clone().resize_(20).shape)
        print(x.view(torch.int16).shape, x.view(torch.int32).dtype)
        packed = nn.utils.rnn.pack_padded_sequence(torch.randn(5, 2, 3, device="meta"), [5, 3])
        out, last = nn.GRU(3, 4, device="meta")(packed)
        print(out.data.shape, out.batch_sizes, nn.utils.rnn.pad_packed_sequence(out)[0].shape, last.shape)
        """
    )


def test_sizes_cost_nothing() -> None:
    x = retrograd.empty(2**20, 2**21, 2**10, device="meta", requires_grad=True)
    y = (x.transpose(0, 2).contiguous() @ retrograd.empty(2**20, 7, device="meta")).softmax(-1).sum()
    y.backward()
    assert x.grad is not None
    assert x.grad.nbytes == x.untyped_storage().nbytes() == 4 * 2**51
    assert retrograd.randn(2**40, device="meta").sort().indices.shape == (2**40,)
    assert math.prod(retrograd.triu_indices(1000, 2000, device="meta").shape) == 2 * (1000 * 2000 - 1000 * 999 // 2)


def test_random_numbers_are_drawn_of_nothing() -> None:
    before = retrograd.get_rng_state()
    retrograd.randn(1000, device="meta").bernoulli_().exponential_()
    retrograd.nn.init.xavier_normal_(retrograd.empty(3, 3, device="meta"))
    assert retrograd.equal(before, retrograd.get_rng_state())


def copies(x: Any) -> Iterator[Any]:
    yield copy.deepcopy(x)
    yield pickle.loads(pickle.dumps(x))
    file = io.BytesIO()
    retrograd.save(x, file)
    file.seek(0)
    yield retrograd.load(file)


def test_copies_and_files() -> None:
    for x in (
        retrograd.empty(2, 3, device="meta").t().requires_grad_(),
        retrograd.nn.Parameter(retrograd.empty(4, device="meta", dtype=retrograd.bfloat16)),
    ):
        for made in copies(x):
            assert made.is_meta
            assert type(made) is type(x)
            assert (made.shape, made.stride(), made.dtype, made.requires_grad) == (x.shape, x.stride(), x.dtype, True)


def test_files_of_others_read_there() -> None:
    file = io.BytesIO()
    retrograd.save(retrograd.nn.Linear(2, 3).state_dict(), file)
    file.seek(0)
    read = retrograd.load(file, map_location="meta")
    assert {name: (each.is_meta, tuple(each.shape)) for name, each in read.items()} == {
        "weight": (True, (3, 2)),
        "bias": (True, (3,)),
    }


def test_files_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    retrograd.save({"w": retrograd.empty(2, 3, device="meta").t()}, file)
    file.seek(0)
    assert torch.load(file)["w"].stride() == (1, 3)
    file = io.BytesIO()
    torch.save({"w": torch.nn.Parameter(torch.empty(2, 3, device="meta"))}, file)
    file.seek(0)
    assert repr(retrograd.load(file)["w"]).startswith("Parameter containing:\ntensor(..., device='meta', size=(2, 3)")


def test_transforms_and_the_default_device(backend: str) -> None:
    with retrograd.device("meta"):
        x = retrograd.ones(3, 4)
        assert retrograd.func.vmap(lambda row: row.sum())(x).shape == (3,)
        assert retrograd.func.grad(lambda v: (v * v).sum())(x).is_meta
        assert retrograd.func.jvp(retrograd.sin, (x,), (x,))[1].is_meta
        assert retrograd.ones(2, device="cpu").tolist() == [1, 1]
        assert retrograd.ones(2, device="cpu").device.backend == backend
    assert not retrograd.ones(2).is_meta
    assert retrograd.ones(2).to("meta").is_meta
