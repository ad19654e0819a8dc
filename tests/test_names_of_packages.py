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
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str) -> None:
    assert_same(PROGRAMS[name])
