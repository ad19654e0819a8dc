"""Modules are found where PyTorch has them, with the base classes that programs ask for."""

from __future__ import annotations

from programs import assert_same


def test_modules_stand_in_the_files_of_pytorch() -> None:
    assert_same("""
    import importlib
    prefix = torch.nn.__name__ + ".modules."
    for place in (
        "adaptive batchnorm channelshuffle container conv distance dropout flatten fold instancenorm linear loss "
        "normalization padding pixelshuffle pooling rnn sparse upsampling"
    ).split():
        module = importlib.import_module(prefix + place)
        lazy_or_absent = ("LinearCrossEntropyOptions", "Container", "SyncBatchNorm")
        names = [n for n in module.__all__ if not n.startswith("Lazy") and n not in lazy_or_absent]
        print(place, sorted(names), {getattr(module, n).__module__ for n in names} == {prefix + place})
    """)


def test_base_classes() -> None:
    assert_same("""
    from importlib import import_module
    prefix = torch.nn.__name__ + ".modules."
    for module, base in (
        (nn.Conv2d(1, 1, 1), "conv._ConvNd"), (nn.ConvTranspose1d(1, 1, 1), "conv._ConvTransposeNd"),
        (nn.BatchNorm1d(1), "batchnorm._BatchNorm"), (nn.InstanceNorm2d(1), "batchnorm._NormBase"),
        (nn.InstanceNorm2d(1), "instancenorm._InstanceNorm"), (nn.Dropout2d(), "dropout._DropoutNd"),
        (nn.MaxPool2d(1), "pooling._MaxPoolNd"), (nn.LSTM(1, 1), "rnn.RNNBase"), (nn.GRUCell(1, 1), "rnn.RNNCellBase"),
        (nn.L1Loss(), "loss._Loss"), (nn.NLLLoss(), "loss._WeightedLoss"),
        (nn.ConstantPad2d(1, 0), "padding._ConstantPadNd"),
    ):
        place, name = base.split(".")
        print(base, isinstance(module, getattr(import_module(prefix + place), name)))
    """)


def test_sizes_and_prefixes() -> None:
    assert_same("""
    from importlib import import_module
    utils = import_module(torch.nn.__name__ + ".modules.utils")
    print(utils._pair(3), utils._triple([1, 2, 3]), utils._ntuple(2)("ab"), utils._single(1), utils._pair.__name__)
    print(utils._reverse_repeat_tuple((1, 2), 2))
    state = nn.ModuleDict({"module": nn.BatchNorm1d(1)}).state_dict()
    utils.consume_prefix_in_state_dict_if_present(state, "module.")
    print(sorted(state), state._metadata)
    """)
