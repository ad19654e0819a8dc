"""Training with sparse gradients, and what programs do with sparse tensors beside computing, as PyTorch has them."""

from __future__ import annotations

from programs import assert_same

TRAINING = """
def train(make, steps=3, sparse=True, **options):
    table = nn.Embedding(4, 2, sparse=sparse)
    with torch.no_grad():
        table.weight.copy_(torch.arange(8.0).reshape(4, 2) / 10)
    optimizer = make(table.parameters())
    for _ in range(steps):
        optimizer.zero_grad(**options)
        (table(torch.tensor([0, 2, 0])) ** 2).sum().backward()
        optimizer.step()
    return table.weight.tolist(), dict(optimizer.state[table.weight])
"""


def test_a_step_along_a_sparse_gradient(backend: str) -> None:
    assert_same(
        """
    for make in (
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.Adagrad(p, lr=0.1),
        lambda p: torch.optim.SparseAdam(p, lr=0.1),
    ):
        print(train(make, steps=2))
    """,
        TRAINING,
    )


def test_optimizers_with_sparse_gradients() -> None:
    assert_same(
        """
    O = torch.optim
    for make in (
        lambda p: O.SGD(p, lr=0.1, momentum=0.9), lambda p: O.SGD(p, lr=0.1, maximize=True),
        lambda p: O.SGD(p, lr=0.1, momentum=0.9, nesterov=True), lambda p: O.SGD(p, lr=0.1, weight_decay=0.1),
        lambda p: O.Adagrad(p, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.1), lambda p: O.SparseAdam(list(p)),
        lambda p: O.Adagrad(p, lr=0.1, maximize=True), lambda p: O.Adagrad(p, lr=0.1, weight_decay=0.1),
        lambda p: O.SparseAdam(p, lr=0.1, maximize=True, betas=(0.5, 0.6)),
    ):
        attempt(train, make)
        attempt(train, make, set_to_none=False)
    attempt(train, O.SparseAdam, sparse=False)
    for name in "Adam AdamW NAdam RAdam Adamax ASGD Rprop RMSprop Adadelta Adafactor".split():
        attempt(train, getattr(O, name))
    attempt(O.SparseAdam, [torch.sparse_coo_tensor((2, 2))])
    """,
        TRAINING,
    )


def test_gradients_of_both_kinds_add_up(backend: str) -> None:
    assert_same("""
    for order in "s", "ss", "sd", "ds", "sds":
        w = torch.arange(6.0).reshape(3, 2).requires_grad_()
        for each in order:
            (F.embedding(torch.tensor([0, 1]), w, sparse=True) if each == "s" else w).sum().backward()
        print(order, w.grad.layout, w.grad.coalesce() if w.grad.is_sparse else w.grad)
    w.grad = torch.ones(3, 2).to_sparse()
    print(w.grad.layout)
    x = w.detach().to_sparse().requires_grad_()
    def assign():
        x.grad = torch.ones(3, 2)
    attempt(assign)
    try:
        torch.nn.utils.clip_grad_norm_([w], 1.0)
    except NotImplementedError as error:
        print(str(error).partition(". This could be")[0])
    """)


def test_graphs_through_sparse_gradients() -> None:
    assert_same("""
    seen = []
    w = torch.arange(6.0).reshape(3, 2).requires_grad_()
    w.register_hook(lambda g: seen.append((g.layout, g._indices().tolist())))
    F.embedding(torch.tensor([0, 1]), w, sparse=True).sum().backward()
    print(seen, torch.autograd.grad(F.embedding(torch.tensor([2]), w, sparse=True).sum(), w))
    (g,) = torch.autograd.grad((F.embedding(torch.tensor([0, 1]), w, sparse=True) ** 2).sum(), w, create_graph=True)
    print(g.to_dense(), torch.autograd.grad(torch.sparse.sum(g), w))
    a = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2)).requires_grad_()
    b = torch.ones(2, 2, requires_grad=True)
    (g,) = torch.autograd.grad(torch.sparse.mm(a, b * b).sum(), b, create_graph=True)
    print(g, torch.autograd.grad(g.sum(), [a, b], allow_unused=True))
    with torch.autograd.detect_anomaly(check_nan=True):
        a.to_dense().sum().backward()
    print(a.grad)
    x = a * 2
    y = x * x
    x.add_(x)
    attempt(lambda: y.to_dense().sum().backward())
    """)


def test_checks_of_gradients() -> None:
    assert_same("""
    gradcheck, gradgradcheck = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    x = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 3), dtype=torch.float64).coalesce().requires_grad_()
    m = torch.ones(3, 2, dtype=torch.float64)
    for masked in True, False:
        print(gradcheck(lambda x: x.to_dense(masked_grad=masked), x, masked=masked))
        print(gradcheck(lambda x: torch.sparse.mm(x, m), x, masked=masked, raise_exception=False))
        print(gradcheck(lambda x, m: torch.sparse.mm(x, m), (x, m.clone().requires_grad_()), masked=True))
    print(torch.sparse.as_sparse_gradcheck(gradcheck)(lambda x: x * 2, x, masked=True))
    attempt(gradcheck, lambda x: x * 2, x)
    attempt(gradgradcheck, lambda x: torch.sparse.mm(x, m), x, masked=True)
    """)


def test_copies_and_files(backend: str) -> None:
    assert_same("""
    import copy, io, pickle
    x = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 3), requires_grad=True)
    def saved(value):
        file = io.BytesIO()
        torch.save(value, file)
        file.seek(0)
        return torch.load(file)
    for way in copy.deepcopy, copy.copy, lambda x: pickle.loads(pickle.dumps(x)), saved:
        print(way(x), way(x.detach().coalesce()).is_coalesced())
    print(saved({"a": [x.detach()], "b": nn.Parameter(x.detach())}))
    m, other = nn.Module(), nn.Module()
    m.w, other.w = nn.Parameter(x.detach()), nn.Parameter(torch.sparse_coo_tensor((2, 3)))
    m.register_buffer("b", x.detach())
    other.register_buffer("b", torch.sparse_coo_tensor((2, 3)))
    print(m.state_dict(), other.load_state_dict(m.state_dict()), other.w, other.double().b)
    """)


def test_comparisons_of_sparse_tensors() -> None:
    assert_same("""
    x = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 3))
    for other in x, x.clone(), x * 2, x.t().t(), x.to_dense(), x.double(), torch.sparse_coo_tensor((2, 3)):
        attempt(torch.testing.assert_close, x, other)
        attempt(torch.testing.assert_close, x, other, check_layout=False, check_dtype=False)
    attempt(torch.testing.assert_close, x, x * 2, msg="other")
    """)


def test_hooks_and_functions_meet_sparse_tensors() -> None:
    assert_same("""
    def made():
        return torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2)).coalesce().requires_grad_()

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.to_dense() * 2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return (g * 2).sparse_mask(x)

    x, seen = made(), []
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: (seen.append(g.layout), g * 2)[1])
    (y.to_dense().sum() + Double.apply(x).sum()).backward()
    print(seen, y.grad.to_dense(), x.grad.to_dense())
    x = made()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (seen.append(t.layout), t)[1], lambda t: t):
        z = (x * x).to_dense().sum()
    z.backward(retain_graph=True)
    z.backward()
    print(seen, x.grad.to_dense())
    attempt(z.backward)
    (g,) = torch.autograd.grad((x * x * x).to_dense().sum(), x, create_graph=True)
    print(torch.autograd.grad(torch.sparse.sum(g), x)[0].to_dense())
    attempt(x.mul_, 2)
    y = torch.utils.checkpoint.checkpoint(lambda t: torch.sparse.mm(t, torch.ones(2, 2)), x, use_reentrant=False)
    print(torch.autograd.grad(y.sum(), x))
    """)


def test_scaled_losses_and_shortened_rows() -> None:
    assert_same("""
    table = nn.Embedding(3, 2, sparse=True, max_norm=1.0)
    with torch.no_grad():
        table.weight.copy_(torch.arange(6.0).reshape(3, 2))
    optimizer, scaler = torch.optim.SGD(table.parameters(), lr=0.1), torch.amp.GradScaler("cpu")
    scaler.scale(table(torch.tensor([0, 2, 0])).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    print(table.weight.data, table.weight.grad)
    """)


def test_old_constructors_and_diagonals() -> None:
    assert_same("""
    S, i = torch.sparse, torch.tensor([[0, 1]])
    x = S.FloatTensor(i, torch.tensor([1.0, 2.0]), (3,))
    print(x, S.FloatTensor(2, 3), S.DoubleTensor(torch.Size([2])), S.FloatTensor())
    print(isinstance(x, S.FloatTensor), isinstance(x, S.DoubleTensor), isinstance(torch.ones(2), S.FloatTensor))
    attempt(S.FloatTensor, (2, 3))
    rows = torch.arange(6.0).reshape(2, 3)
    for offsets, shape in (([0, -1], (3, 3)), ([2, -1], (4, 4)), ([0, 0], (3, 3)), ([0], (3, 3)), ([1, 0], (3,))):
        attempt(S.spdiags, rows, torch.tensor(offsets), shape)
    attempt(S.spdiags, rows, 0, (3, 3))
    print(S.spdiags(rows[0], torch.tensor([-1]), (3, 4), layout=torch.sparse_csr))
    """)


def test_new_of_a_sparse_tensor_is_sparse() -> None:
    assert_same("""
    i, v, ten = torch.tensor([[0, 2], [1, 0]]), torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0], requires_grad=True)
    x = torch.sparse_coo_tensor(i, v, (3, 3), dtype=torch.float64)
    print(x.new(i, v, x.size()), x.new(i, v.int()), x.new(i, values=v), x.new(indices=i, values=v, size=(4, 3)))
    print(x.new(2, 3), x.new(torch.Size([2])), x.new(), x.new(size=(2, 3)), x.new(2, device="cpu"))
    x.new(i, ten * 2, x.size()).to_dense().sum().backward()
    print(ten.grad)
    for given in (i.int(), v), ((2, 3),), ([[1.0]],), (x,), (v, x.size()):
        attempt(x.new, *given)
    attempt(v.new, i, v, x.size())
    attempt(torch.eye(2).to_sparse_csr().new, 2)
    """)


def test_sparse_tensors_take_the_size_of_others() -> None:
    assert_same("""
    def made(*shape):
        return torch.sparse_coo_tensor(torch.tensor([[0, 1], [1, 0]]), torch.tensor([1.0, 2.0]), shape)
    rows, x = torch.sparse_coo_tensor(torch.tensor([[0, 1]]), torch.ones(2, 3), (4, 3)), made(2, 2)
    print(x.resize_as_(made(3, 3)) is x, x, x.resize_as_sparse_(made(4, 3)), x.new().resize_as_(rows))
    for other in made(2, 2), rows:
        try:
            x.resize_as_(other)
        except RuntimeError as error:
            print(str(error).partition(chr(10))[0])
    attempt(made(2, 2).requires_grad_().resize_as_, x)
    """)


def test_transforms_meet_sparse_tensors() -> None:
    assert_same("""
    x = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2))
    for product in torch.mm, torch.sparse.mm:
        print(torch.func.grad(lambda w: product(x, w).sum())(torch.ones(2, 2)))
    print(torch.func.vjp(lambda w: x @ w, torch.ones(2, 2))[1](torch.ones(2, 2)))
    print(torch.func.grad(lambda t: torch.sparse.mm(t, torch.ones(2, 2)).sum())(x))
    print(torch.func.grad(lambda w: F.embedding(torch.tensor([1]), w, sparse=True).sum())(torch.ones(2, 2)))
    attempt(torch.vmap(lambda w: x @ w), torch.ones(3, 2, 2))
    """)
