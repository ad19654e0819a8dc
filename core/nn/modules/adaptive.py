"""A softmax over so many classes that most of them are looked at seldom, in clusters."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from retrograd.nn import functional as F
from retrograd.nn.modules.container import ModuleList, Sequential
from retrograd.nn.modules.linear import Linear
from retrograd.nn.modules.module import Module
from retrograd.tensor import Tensor

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])


def _check_cutoffs(cutoffs: list[int], n_classes: int) -> None:
    if not cutoffs:
        raise ValueError("cutoffs should be a sequence of length larger than 0")
    ascending = cutoffs == sorted(set(cutoffs))
    if not ascending or cutoffs[0] <= 0 or cutoffs[-1] > n_classes - 1 or any(int(each) != each for each in cutoffs):
        raise ValueError(
            "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value "
            "is between 1 and n_classes-1"
        )


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of classes in clusters, by how frequent they are, and their mean negative as a loss.

    The head knows the classes below the first cutoff, and one more for each cluster behind it; a cluster is a linear
    layer to few features and another one to its classes, and is computed for those targets alone that are in it.
    Classes are to be numbered by descending frequency.

    Parameters
    ----------
    in_features
        The size of the last dimension of the input.
    n_classes
        How many classes there are.
    cutoffs
        Where clusters begin, ascending.
    div_value
        By how much the features of each cluster are fewer than those of the one in front.
    head_bias
        Whether the head has a bias.

    Raises
    ------
    ValueError
        If the cutoffs are not ascending integers between 1 and ``n_classes - 1``.

    Source: Grave, Joulin, Cissé, Grangier and Jégou, "Efficient softmax approximation for GPUs", 2016;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveLogSoftmaxWithLoss.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.AdaptiveLogSoftmaxWithLoss(8, 100, cutoffs=[10, 50], div_value=2.0)
    >>> result = layer(retrograd.ones(4, 8), retrograd.tensor([0, 9, 20, 99]))
    >>> result.output.shape, layer.log_prob(retrograd.ones(4, 8)).shape
    (retrograd.Size([4]), retrograd.Size([4, 100]))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        _check_cutoffs(cutoffs, n_classes)
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(pairwise(self.cutoffs), 1):
            features = int(in_features // div_value**i)
            first = Linear(in_features, features, bias=False, device=device, dtype=dtype)
            self.tail.append(Sequential(first, Linear(features, high - low, bias=False, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster:
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> Any:
        self._check(input_, target_)
        batched = target_.dim() > 0
        input, target = (input_, target_) if batched else (input_.unsqueeze(0), target_.unsqueeze(0))
        count = target.size(0)
        output = input.new_zeros(count)
        in_head = target.new_empty(count)  # the class of the head that each target is, or is behind
        used = 0
        for i, (low, high) in enumerate(pairwise([0, *self.cutoffs])):
            inside = (target >= low) & (target < high)
            rows = inside.nonzero().squeeze(1)
            if not rows.numel():
                continue
            used += rows.numel()
            if i == 0:
                in_head.index_copy_(0, rows, target[inside])
                continue
            in_head.index_fill_(0, rows, self.shortlist_size + i - 1)
            scores = F.log_softmax(self.tail[i - 1](input.index_select(0, rows)), dim=1)
            output.index_copy_(0, rows, scores.gather(1, (target[inside] - low).unsqueeze(1)).squeeze(1))
        if used != count:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{target.min().item()}, "
                f"{target.max().item()}] were found. "
            )
        output += F.log_softmax(self.head(input), dim=1).gather(1, in_head.unsqueeze(1)).squeeze()
        loss = (-output).mean()
        return _ASMoutput(output if batched else output.squeeze(0), loss)

    @staticmethod
    def _check(input: Tensor, target: Tensor) -> None:
        dims = target.dim()
        if dims > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if dims == 1 and input.size(0) != target.size(0):
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input.dim() != dims + 1:
            raise RuntimeError(
                f"{dims}D target tensor expects {dims + 1}D input tensors, but found inputs with size {input.size()}"
            )

    def _get_full_log_prob(self, input: Tensor, head_output: Tensor) -> Tensor:
        """The log-probabilities of all classes, from the head's result."""
        found = input.new_empty((head_output.size(0), self.n_classes))
        in_head = F.log_softmax(head_output, dim=1)
        found[:, : self.shortlist_size] = in_head[:, : self.shortlist_size]
        for i, (low, high) in enumerate(pairwise(self.cutoffs)):
            inside = F.log_softmax(self.tail[i](input), dim=1)
            found[:, low:high] = inside + in_head[:, self.shortlist_size + i].unsqueeze(1)
        return found

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: (N, in_features) to (N, n_classes)."""
        return self._get_full_log_prob(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row; clusters are computed for those rows alone whose best is in one."""
        scores = self.head(input)
        found: Tensor = scores.argmax(dim=1)
        behind = found >= self.shortlist_size
        if not bool(behind.any()):
            return found
        if bool(behind.all()):
            return self._get_full_log_prob(input, scores).argmax(dim=1)
        found[behind] = self._get_full_log_prob(input[behind], scores[behind]).argmax(dim=1)
        return found
