"""Where PyTorch has what stands elsewhere here: one table, for imports and for the names in files.

Programs import what they need from the modules that PyTorch happens to have it in (`torch.optim.adamw.AdamW`), and
files of whole objects name these. A module of the table that is not here is made when it is imported, by a finder
behind Python's own, and gets its names from where they are; one that is here is given the names (`settle`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["home_of", "install", "settle"]

_TABLE = """
_functorch
_functorch.apis                            func                                  grad grad_and_value vmap
_functorch.batch_norm_replacement          func                                  replace_all_batch_norm_modules_
_functorch.deprecated                      func                                  functionalize grad grad_and_value
_functorch.deprecated                      func                                  hessian jacfwd jacrev jvp vjp vmap
_functorch.eager_transforms                func                                  functionalize hessian jacfwd jacrev
_functorch.eager_transforms                func                                  jvp linearize vjp
_functorch.functional_call                 func                                  functional_call stack_module_state
_jit_internal                              jit                                   _copy_to_script_wrapper _overload
_jit_internal                              jit                                   _overload_method export ignore
_jit_internal                              jit                                   is_scripting unused
_jit_internal                              jit                                   BroadcastingList1 BroadcastingList2
_jit_internal                              jit                                   BroadcastingList3 BroadcastingList4
_jit_internal                              jit                                   BroadcastingList5 BroadcastingList6
_lobpcg                                    ops.lobpcg                            *
_lowrank                                   ops.low_rank                          pca_lowrank svd_lowrank
_ops                                       ops.aten                              OpOverload OpOverloadPacket
_tensor_str                                printing                              * PRINT_OPTS=_options
_tensor_str                                printing                              _add_suffixes _tensor_str
_tensor_str                                printing                              _str=tensor_text
_tensor_str                                printing                              _str_intern=tensor_text
_vmap_internals                            func                                  vmap
cpu.amp.autocast_mode                      cpu.amp                               autocast
cpu.amp.grad_scaler                        cpu.amp                               GradScaler
cuda.amp.autocast_mode                     cuda.amp                              autocast custom_bwd custom_fwd
cuda.amp.grad_scaler                       cuda.amp                              GradScaler
cuda.amp.grad_scaler                       amp.grad_scaler                       OptState
cuda.graphs                                cuda.devices                          CUDAGraph graph
cuda.memory                                cuda                                  empty_cache
cuda.memory                                cuda                                  max_memory_allocated
cuda.memory                                cuda                                  max_memory_reserved
cuda.memory                                cuda                                  mem_get_info
cuda.memory                                cuda                                  memory_allocated memory_reserved
cuda.memory                                cuda                                  memory_stats
cuda.random                                cuda                                  manual_seed manual_seed_all
cuda.random                                cuda                                  get_rng_state get_rng_state_all
cuda.random                                cuda                                  initial_seed
cuda.random                                cuda                                  seed seed_all set_rng_state_all
cuda.streams                               cuda.devices                          Event Stream
distributions.transforms                   distributions.elementwise_transforms  AbsTransform AffineTransform
distributions.transforms                   distributions.elementwise_transforms  CumulativeDistributionTransform
distributions.transforms                   distributions.elementwise_transforms  ExpTransform PowerTransform
distributions.transforms                   distributions.elementwise_transforms  SigmoidTransform SoftplusTransform
distributions.transforms                   distributions.elementwise_transforms  TanhTransform
distributions.transforms                   distributions.piecewise_transforms    CatTransform StackTransform
distributions.transforms                   distributions.transform               ComposeTransform IndependentTransform
distributions.transforms                   distributions.transform               ReshapeTransform Transform
distributions.transforms                   distributions.vector_transforms       CorrCholeskyTransform
distributions.transforms                   distributions.vector_transforms       LowerCholeskyTransform
distributions.transforms                   distributions.vector_transforms       PositiveDefiniteTransform
distributions.transforms                   distributions.vector_transforms       SoftmaxTransform StickBreakingTransform
jit.annotations                            jit                                   Any BroadcastingList1 Dict Future List
jit.annotations                            jit                                   BroadcastingList2 BroadcastingList3
jit.annotations                            jit                                   Optional Tuple Union
masked._ops                                masked                                *
nn.functional                              nn                                    _Reduction=_reduction
nn.functional                              nn.modules.utils                      _pair _single _triple
nn.functional                              overrides                             handle_torch_function
nn.functional                              overrides                             has_torch_function
nn.functional                              overrides                             has_torch_function_unary
nn.functional                              overrides                             has_torch_function_variadic
nn.init                                    nn.init                               _calculate_correct_fan=_fan
nn.modules.activation                      nn.modules.attention                  MultiheadAttention
nn.modules.batchnorm                       nn.modules.lazy                       LazyBatchNorm1d LazyBatchNorm2d
nn.modules.batchnorm                       nn.modules.lazy                       LazyBatchNorm3d
nn.modules.batchnorm                       nn.modules.parallel                   SyncBatchNorm
nn.modules.container                       nn.modules.module                     _addindent
nn.modules.conv                            nn.modules.lazy                       LazyConv1d LazyConv2d LazyConv3d
nn.modules.conv                            nn.modules.lazy                       LazyConvTranspose1d
nn.modules.conv                            nn.modules.lazy                       LazyConvTranspose2d
nn.modules.conv                            nn.modules.lazy                       LazyConvTranspose3d
nn.modules.instancenorm                    nn.modules.lazy                       LazyInstanceNorm1d LazyInstanceNorm2d
nn.modules.instancenorm                    nn.modules.lazy                       LazyInstanceNorm3d
nn.modules.linear                          nn.modules.lazy                       LazyLinear
nn.modules.linear_cross_entropy_options    nn.functions.linear_loss              LinearCrossEntropyOptions
nn.modules.module                          nn.modules.everywhere                 *
nn.modules.transformer                     nn.modules.transformer                _get_clones=_copies
nn.modules.transformer                     nn.modules.transformer                _get_activation_fn=_activation
nn.parallel.data_parallel                  nn.modules.parallel                   DataParallel
optim._adafactor                           optim.factored                        Adafactor
optim._multi_tensor                        optim                                 *
optim._muon                                optim.factored                        Muon
optim.adadelta                             optim.adaptive                        Adadelta
optim.adagrad                              optim.adaptive                        Adagrad
optim.adamax                               optim.adam                            Adamax
optim.adamw                                optim.adam                            AdamW
optim.asgd                                 optim.adaptive                        ASGD
optim.lr_scheduler                         optim.cycles                          CyclicLR OneCycleLR
optim.lr_scheduler                         optim.schedule                        LRScheduler
optim.nadam                                optim.adam                            NAdam
optim.optimizer                            optim.writing                         *
optim.radam                                optim.adam                            RAdam
optim.rmsprop                              optim.adaptive                        RMSprop
optim.rprop                                optim.adaptive                        Rprop
optim.sparse_adam                          optim.factored                        SparseAdam
profiler.profiler                          profiler                              *
return_types                               ops.return_types                      *
signal.windows.windows                     signal.windows                        *
testing._comparison                        testing.comparison                    *
testing._creation                          testing.creation                      *
"""
"""PyTorch's module, ours, and the names; `*` for all of ours, `new=old` for what is called otherwise here. A package
that only has modules in it stands alone."""


@cache
def _places() -> dict[str, list[tuple[str, list[tuple[str, str]]]]]:
    """By PyTorch's module: ours, and names with ours for them."""
    found: dict[str, list[tuple[str, list[tuple[str, str]]]]] = {}
    for line in _TABLE.split("\n")[1:-1]:
        place, source, *names = line.split() if " " in line else (line, "")
        pairs = [(new, old or new) for new, _, old in (name.partition("=") for name in names)]
        sources = found.setdefault(f"retrograd.{place}", [])
        if source:
            sources.append((f"retrograd.{source}", pairs))
    return found


@cache
def _homes() -> dict[tuple[str, str], str]:
    """The reverse, of what has the same name in both."""
    return {
        (source, name): place
        for place, sources in _places().items()
        for source, pairs in sources
        for name, old in pairs
        if name == old != "*"
    }


def home_of(module: str, name: str) -> str:
    """The module, under our package's name, in which PyTorch has what is called so in a module of ours."""
    return _homes().get((module, name), module)


def _found(place: str, name: str) -> Any:
    """What a name of PyTorch's module is."""
    for source, pairs in _places()[place]:
        for new, old in pairs:
            if new in (name, "*"):
                module = import_module(source)
                if hasattr(module, name if new == "*" else old):
                    return getattr(module, name if new == "*" else old)
    raise AttributeError(f"module {place!r} has no attribute {name!r}")


def _names(place: str) -> list[str]:
    found: list[str] = []
    for source, pairs in _places()[place]:
        for new, _ in pairs:
            found += import_module(source).__all__ if new == "*" else [new]
    return found


def settle(package: str) -> None:
    """Give the modules of a package that are here what PyTorch has in them."""
    for place in _places():
        if place.startswith(f"{package}.") and place in sys.modules:
            module = sys.modules[place]
            for name in _names(place):
                if not hasattr(module, name):
                    setattr(module, name, _found(place, name))


class _Elsewhere(MetaPathFinder, Loader):
    """Finds and makes the modules of the table that are not here."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        is_package = any(each.startswith(f"{fullname}.") for each in _places())
        return ModuleSpec(fullname, self, is_package=is_package) if fullname in _places() else None

    def exec_module(self, module: ModuleType) -> None:
        place = module.__name__

        def get(name: str) -> Any:
            if name == "__all__":
                return [each for each in _names(place) if not each.startswith("_")]
            if name.startswith("__"):
                raise AttributeError(f"module {place!r} has no attribute {name!r}")
            return _found(place, name)

        sources = ", ".join(dict.fromkeys(source for source, _ in _places()[place])) or "its modules"
        module.__doc__ = f"PyTorch's module of this name, with what stands here in {sources}."
        vars(module)["__getattr__"] = get
        vars(module)["__dir__"] = lambda: [*vars(module), *_names(place)]


def install() -> None:
    """Let Python find the modules of the table."""
    if not any(isinstance(each, _Elsewhere) for each in sys.meta_path):
        sys.meta_path.append(_Elsewhere())
