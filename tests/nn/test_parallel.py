"""Modules for several devices, on one, beside PyTorch's."""

from __future__ import annotations

from programs import assert_same


def test_one_process_normalizes_its_batch() -> None:
    assert_same("""
    x = torch.tensor([[1.0, 0.0, 2.0], [3.0, 4.0, 2.5], [2.5, 1.0, 7.0]], dtype=torch.float64, requires_grad=True)
    layer = nn.SyncBatchNorm(3, dtype=torch.float64)
    y = layer(x)
    print(layer, y.detach(), torch.autograd.grad((y ** 3).sum(), x), layer.running_mean, layer.num_batches_tracked)
    print(layer.eval()(x).detach(), list(layer.state_dict()))
    attempt(layer, torch.ones(3, dtype=torch.float64))
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.BatchNorm2d(1, affine=False), nn.ReLU())).eval()
    made = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    print(made, made[0].training, made[0].weight is model[0].weight)
    """)


def test_a_parallel_module_without_gpus_is_the_module() -> None:
    assert_same("""
    model = nn.DataParallel(nn.Linear(2, 1))
    print(model, list(model.state_dict()), model.device_ids, model(torch.ones(3, 2)).shape)
    """)
