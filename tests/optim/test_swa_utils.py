"""Averages of weights: numbers, errors and order as PyTorch's."""

from __future__ import annotations

import subprocess
import sys

import pytest
from programs import assert_same

PROGRAMS = {
    "averages": """
        S = torch.optim.swa_utils
        for options in ({}, dict(multi_avg_fn=S.get_ema_multi_avg_fn(0.9)), dict(avg_fn=S.get_ema_avg_fn(0.9)),
                        dict(multi_avg_fn=S.get_swa_multi_avg_fn()), dict(avg_fn=S.get_swa_avg_fn()),
                        dict(use_buffers=True), dict(use_buffers=True, multi_avg_fn=S.get_ema_multi_avg_fn(0.4)),
                        dict(avg_fn=lambda a, b, n: a * n + b)):
            model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
            model.register_buffer("count", torch.tensor(3))
            averaged = S.AveragedModel(model, **options)
            for step in range(4):
                with torch.no_grad():
                    for i, p in enumerate(model.parameters()):
                        p.copy_(torch.arange(float(p.numel())).reshape(p.shape) * (step + 1) ** 2 + i)
                    model[1].running_mean.copy_(torch.tensor([1.0, 2.0]) * step)
                    model.count.add_(4)
                averaged.update_parameters(model)
            print([p for p in averaged.parameters()], [b for b in averaged.buffers()])
            print(averaged.n_averaged, sorted(averaged.state_dict()), averaged(torch.ones(3, 2)).sum().item())
        attempt(S.AveragedModel, model, avg_fn=abs, multi_avg_fn=abs)
        attempt(S.get_ema_avg_fn, 1.5)
        attempt(S.get_ema_multi_avg_fn, -0.5)
        print([p.requires_grad for p in averaged.parameters()])
    """,
    "statistics": """
        S = torch.optim.swa_utils
        model = nn.Sequential(nn.BatchNorm1d(2, momentum=0.3), nn.Linear(2, 2), nn.Dropout(0.0)).eval()
        batches = [torch.arange(6.0).reshape(3, 2) * k for k in (1, 2, 5)]
        S.update_bn(batches, model)
        print(model[0].running_mean, model[0].running_var, model[0].num_batches_tracked)
        print(model[0].momentum, model.training)
        S.update_bn([(b, 1) for b in batches[:2]], model.train(), "cpu")
        print(model[0].running_mean, model[0].running_var, model.training)
        print(S.update_bn(iter([1 / 2]), nn.Linear(1, 1)))
    """,
    "rates": """
        S = torch.optim.swa_utils
        def optimizer():
            groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in (1.0, 0.2)]
            return torch.optim.SGD(groups, lr=0.1)
        for options in (dict(swa_lr=0.5), dict(swa_lr=[0.5, 0.1], anneal_strategy="linear", anneal_epochs=4),
                        dict(swa_lr=0.05, anneal_epochs=0), dict(swa_lr=0.05, anneal_epochs=1),
                        dict(swa_lr=(3.0, 2.0), anneal_epochs=3)):
            o = optimizer()
            s = S.SWALR(o, **options)
            for _ in range(12):
                o.step()
                s.step()
                print(s.get_last_lr())
            print(sorted(set(s.state_dict()) & {"anneal_epochs", "_anneal_strategy", "optimizer", "anneal_func"}))
            other = S.SWALR(optimizer(), swa_lr=0.5)
            other.load_state_dict(s.state_dict())
            print(other.last_epoch, other.anneal_epochs, other._anneal_strategy)
        attempt(S.SWALR, optimizer(), [0.5])
        attempt(S.SWALR, optimizer(), 0.5, anneal_strategy="log")
        attempt(S.SWALR, optimizer(), 0.5, anneal_epochs=-1)
        attempt(S.SWALR, optimizer(), 0.5, anneal_epochs=1.5)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_pytorch(name: str) -> None:
    assert_same(PROGRAMS[name])


@pytest.mark.parametrize("line", ["import retrograd.optim.swa_utils", "from retrograd.optim import swa_utils", "pass"])
def test_it_is_found_however_it_is_imported(line: str) -> None:
    program = f"{line}\nimport retrograd\nprint(retrograd.optim.swa_utils.AveragedModel.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "AveragedModel\n"
