"""Names without a page in PyTorch's documentation that packages written for it import all the same."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "distributions": """
        D = torch.distributions
        print(D.utils._standard_normal((2, 3), dtype=torch.float64, device=None).dtype)
        x = torch.arange(24.0).reshape(2, 3, 4)
        print(D.utils._sum_rightmost(x, 0).shape, D.utils._sum_rightmost(x, 2), D.utils._sum_rightmost(x, 3))
        print(isinstance(D.ExpTransform().inv, D.transforms._InverseTransform))
    """,
    "divergences_of_other_bases": """
        D = torch.distributions
        class Other:
            pass
        D.register_kl(Other, D.Distribution)(lambda p, q: "other")
        class Mine(Other, D.Normal):
            pass
        print(D.kl_divergence(Mine(0.0, 1.0), D.Gamma(1.0, 1.0)))
        attempt(D.register_kl, 3, D.Normal)
        attempt(D.register_kl, Other, None)
    """,
    "functions_of_a_module": """
        print([getattr(torch.functional, name) is getattr(torch, name) for name in torch.functional.__all__])
        print(sorted(torch.functional.__all__), {torch.functional.einsum, torch.einsum} == {torch.einsum})
    """,
    "groups_of_tensors": """
        tools = torch.utils._foreach_utils
        group = tools._group_tensors_by_device_and_dtype
        a = [torch.ones(1), torch.ones(2, dtype=torch.float64), torch.zeros(3)]
        for found in (group([a, [None] * 3, [torch.tensor(1.0)] * 3, []], with_indices=True), group([a])):
            print(sorted((str(kind), parts, places) for (_, kind), (parts, places) in found.items()))
        attempt(group, [[None, a[0]], [a[0], a[0]]])
        print(tools._device_has_foreach_support(a[0].device), tools._has_foreach_support([*a, None], a[0].device))
    """,
    "schedules": """
        S = torch.optim.lr_scheduler
        class Halves(S._LRScheduler):
            def get_lr(self):
                return [each / 2**self.last_epoch for each in self.base_lrs]
        o = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        schedule = Halves(o)
        for _ in range(3):
            o.step()
            schedule.step()
            print(schedule.get_last_lr(), isinstance(schedule, S.LRScheduler), issubclass(S.StepLR, S._LRScheduler))
    """,
    "members_of_modules": """
        class Renamed(nn.Linear):
            def named_parameters(self, prefix="", recurse=True):
                members = lambda module: [(name + "!", each) for name, each in module._parameters.items()]
                yield from self._named_members(members, prefix=prefix, recurse=recurse)
        print([name for name, _ in Renamed(2, 2).named_parameters("p")])
        module = nn.Sequential(Renamed(2, 2), nn.ReLU())
        print([name for name, _ in module._named_members(get_members_fn=lambda m: m._parameters.items())])
    """,
    "switches": """
        cudnn = torch.backends.cudnn
        switches = lambda: (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
        print(cudnn.is_available(), cudnn.version(), cudnn.is_acceptable(torch.ones(1)), switches())
        with cudnn.flags(enabled=False, benchmark=True, deterministic=True, allow_tf32=False):
            print(switches())
        print(switches(), cudnn.set_flags(False, True)[:2], switches())
        cudnn.enabled, cudnn.benchmark = True, False
        print(torch.backends.mps.is_available(), torch.backends.mps.is_built(), torch.backends.cuda.is_built())
        with torch.backends.mkldnn.flags(enabled=False):
            print(torch.backends.mkldnn.enabled)
        print(torch.backends.mkldnn.enabled, torch.backends.cuda.matmul.allow_tf32)
        attention = torch.backends.cuda
        for name in ("flash", "math", "mem_efficient", "cudnn"):
            getattr(attention, f"enable_{name}_sdp")(False)
            print(getattr(attention, f"{name}_sdp_enabled")())
            getattr(attention, f"enable_{name}_sdp")(True)
            print(getattr(attention, f"{name}_sdp_enabled")())
    """,
    "mappings_of_ones_own": """
        pytree = torch.utils._pytree
        class Outputs(dict):
            pass
        pytree.register_pytree_node(
            Outputs, lambda x: (list(x.values()), list(x)), lambda values, keys: Outputs(zip(keys, values)),
            serialized_type_name="Outputs", flatten_with_keys_fn=pytree._dict_flatten_with_keys,
        )
        found, spec = pytree.tree_flatten_with_path(Outputs(a=1, b=[2, {"c": 3}]))
        print([(pytree.keystr(path), leaf) for path, leaf in found])
        made = pytree.tree_map(lambda leaf: leaf + 1, Outputs(a=1, b=[2]))
        print(made, type(made).__name__)
    """,
    "assertions": """
        print(torch._assert(True, "no"), torch._assert(torch.tensor([2.0]), "no"), torch._assert([0], "no"))
        for false in (False, torch.tensor(0), torch.tensor([False]), [], None, torch.ones(2)):
            attempt(torch._assert, false, "said so")
        class Asked:
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return func is torch._assert, args[1:]
        print(torch._assert(Asked(), "taken over"))
    """,
    "no_cuda": """
        for name in (
            "is_initialized current_device memory_allocated max_memory_allocated memory_reserved max_memory_reserved "
            "get_device_name get_device_capability current_stream default_stream Stream Event memory_stats "
            "is_bf16_supported get_rng_state_all init initial_seed seed seed_all ipc_collect mem_get_info "
            "get_rng_state get_arch_list get_device_properties CUDAGraph is_current_stream_capturing"
        ).split():
            attempt(getattr(torch.cuda, name))
        torch.cuda.set_device(-1)
        torch.cuda.set_rng_state_all([])
        def entered(context):
            with context:
                return "entered"
        for number in (-1, 0, "cuda:0"):
            attempt(entered, torch.cuda.device(number))
        attempt(entered, torch.cuda.stream(None))
        attempt(nn.parallel.DistributedDataParallel, nn.Linear(1, 1))
        print(isinstance(nn.Linear(1, 1), (nn.DataParallel, nn.parallel.DistributedDataParallel)))
    """,
    "contexts_that_decorate": """
        class Noted(torch.utils._contextlib._DecoratorContextManager):
            def __init__(self, name="made"):
                self.name = name
            def __enter__(self):
                print("enter", self.name)
            def __exit__(self, *error):
                print("exit", self.name)
            def clone(self):
                return Noted(self.name + "'")
        @Noted("a")
        def function(x):
            return x + 1
        print(function(1), function.__name__)
        @Noted("b")
        def numbers():
            print((yield 1))
            yield 2
        running = numbers()
        print(next(running), running.send("sent"), running.close())
        class Plain(torch.utils._contextlib._NoParamDecoratorContextManager):
            def __enter__(self):
                print("in")
            def __exit__(self, *error):
                print("out")
        print(Plain(lambda: 3)(), type(Plain()).__name__)
        attempt(torch.utils._contextlib._DecoratorContextManager().__enter__)
    """,
    "old_options_of_losses": """
        reduction = nn._reduction
        for averaged in (None, True, False):
            for reduced in (None, True, False):
                print(reduction.legacy_get_string(averaged, reduced), reduction.legacy_get_enum(averaged, reduced))
        for name in ("none", "mean", "sum", "elementwise_mean", "max"):
            attempt(reduction.get_enum, name)
    """,
    "numbers_of_tensors": """
        x = torch.ones(2)
        print(type(x._cdata), x._cdata == x._cdata, x._cdata == torch.ones(2)._cdata, x._cdata == x.detach()._cdata)
        print(torch.from_dlpack(torch.utils.dlpack.to_dlpack(torch.arange(3))))
    """,
    "plateaus_of_subclasses": """
        class Mine(torch.optim.lr_scheduler.ReduceLROnPlateau):
            def _reduce_lr(self, epoch):
                print("reduced at", epoch)
                super()._reduce_lr(epoch)
        o = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        schedule = Mine(o, patience=0)
        for loss in (1.0, 2.0, 3.0):
            schedule.step(loss)
        print(o.param_groups[0]["lr"])
    """,
    "parts_of_optimizers": """
        import importlib
        o = importlib.import_module(torch.optim.Optimizer.__module__)
        one, pair = torch.ones(1), torch.ones(1, dtype=torch.complex64)
        for params, differentiable, fused in (([one, None], False, True), ([one], True, True), ([pair], False, True)):
            print(o._default_to_fused_or_foreach(params, differentiable, fused))
        print(o._default_to_fused_or_foreach([one], False), o._get_value(torch.tensor(2.0)), o._get_value(3))
        print(o._get_scalar_dtype(), o._get_scalar_dtype(True), o._to_scalar(one), o._to_scalar(3))
        print(o._stack_if_compiling([1]))
        print(o._get_capturable_supported_devices(), o._get_capturable_supported_devices(False))
        for param in (one, torch.ones(1, dtype=torch.int32), pair):
            attempt(o._device_dtype_check_for_fused, param, True)
        params, state = [pair, one], [torch.zeros(1, dtype=torch.complex64), torch.ones(1)]
        print(o._view_as_real(params, state), params, state)
        class Mine(torch.optim.Optimizer):
            @o._use_grad_for_differentiable
            def step(self, closure=None):
                "Do a step."
                return torch.is_grad_enabled()
        for differentiable in (True, False):
            print(Mine([one], {"differentiable": differentiable}).step(), torch.is_grad_enabled(), Mine.step.__doc__)
        print(o._disable_dynamo_if_unsupported(single_tensor_fn=None)(lambda x: x + 1)(1))
    """,
    "texts_of_tensors": """
        x = torch.arange(3.0, dtype=torch.float64)
        print(x.__repr__(tensor_contents="[few]"), torch._tensor_str._str_intern(x, tensor_contents="[few]"))
        print(torch.eye(2).to_sparse().__repr__(tensor_contents="[few]"))
        print(torch._tensor_str._tensor_str(x.reshape(3, 1), 4), torch._tensor_str._tensor_str(x[:0], 0))
        for forced in (True, False):
            print(torch._tensor_str._add_suffixes("Mine(...", ["a=1", "b=" + 80 * "2"], 5, force_newline=forced))
    """,
    "pointers_to_rows": """
        rows, pointers = torch._convert_indices_from_coo_to_csr, torch._convert_indices_from_csr_to_coo
        for given in ([0, 0, 2, 2, 3], [1], []):
            for narrow in (False, True):
                found = rows(torch.tensor(given, dtype=torch.int64), 5, out_int32=narrow)
                print(found, found.dtype)
        print(rows(torch.tensor([0, 0, 2], dtype=torch.int32), size=3))
        attempt(rows, torch.tensor([0.0, 1.0]), 3)
        attempt(rows, torch.tensor([[0, 1]]), 3)
        for crow, col in (
            ([0, 2, 2, 4], [1, 2, 0, 1]), ([0], []), ([[0, 2, 4], [0, 1, 4]], [[1, 2, 0, 1], [0, 0, 1, 2]]),
            ([[[0, 2, 4], [0, 1, 4]]], [[[1, 2, 0, 1], [0, 0, 1, 2]]]),
        ):
            crow, col = torch.tensor(crow), torch.tensor(col, dtype=torch.int64)
            for options in ({}, {"transpose": True}, {"out_int32": True}):
                found = pointers(crow, col, **options)
                print(found, found.dtype)
        print(torch._segment_reduce is torch.segment_reduce)
        for reduce in ("amax", "amin", "max", "maximum"):
            x = torch.arange(6.0, requires_grad=True)
            try:
                found = torch.segment_reduce(x, reduce, offsets=torch.tensor([0, 2, 2, 6]))
                print(found, torch.autograd.grad(found[::2].sum(), x))
            except RuntimeError as error:
                print(error)
    """,
    "numbers_alone": """
        for name in "add sub mul div divide multiply subtract true_divide floor_divide".split():
            function = getattr(torch, name)
            for numbers in ((7, 2), (7.5, 2), (True, 2), (7, 2.5), (2j, 2), (-7, 2)):
                if name != "floor_divide" or complex not in map(type, numbers):
                    attempt(lambda *given: (function(*given), function(*given).dtype, function(*given).shape), *numbers)
        for mode in ("floor", "trunc", None):
            for numbers in ((7, 2), (7.5, -2), (-7, 2)):
                print(torch.div(*numbers, rounding_mode=mode), torch.divide(*numbers, rounding_mode=mode))
        print(torch.add(1, 2, alpha=3), torch.sub(1, 2.0, alpha=3), torch.mul(2, 3, out=torch.tensor(0)))
        def refused(function):
            try:
                return function(7, 2)
            except TypeError:
                return "refused"
        for name in "remainder pow fmod eq maximum bitwise_and atan2".split():
            print(name, refused(getattr(torch, name)))
    """,
    "graphs_and_streams": """
        with torch.cuda.StreamContext(None), torch.cuda.stream(None) as entered:
            print(entered, type(torch.cuda.stream(None)) is torch.cuda.StreamContext)
        attempt(torch.cuda.graph, None)
    """,
    "names_of_annotations": """
        import importlib
        there = importlib.import_module(torch.jit.__name__ + ".annotations")
        print(there.BroadcastingList2[int], there.BroadcastingList3[float], there.List[int], there.Optional[int])
        print(torch.ops.aten.sort.stable, torch.ops.aten._pin_memory.default)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str) -> None:
    assert_same(PROGRAMS[name])
