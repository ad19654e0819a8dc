"""Train a classifier of handwritten digits, alone or in many processes on one set of weights.

    python examples/train_digits.py
    retrograd launch --workers 2 examples/train_digits.py
    retrograd launch --workers 2 --backend jax examples/train_digits.py --model cnn

The data are the 1797 images of 8 by 8 pixels that come with scikit-learn. Each batch is cut into one shard
for each worker; the server adds up the workers' gradients and does the optimizer's step. `--accumulate N`
does the same without other workers: it adds up the gradients of N shards in order, and so ends with the
very weights that N workers end with.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import retrograd as rg
import retrograd.distributed as dist
import retrograd.nn.functional as F
from retrograd import nn


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a classifier of handwritten digits.")
    parser.add_argument("--model", choices=("mlp", "cnn"), default="mlp")
    parser.add_argument("--epochs", type=int, help="passes over the data (default: 30, and 12 for the cnn)")
    parser.add_argument("--batch-size", type=int, default=64, help="images in a batch, over all workers")
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate at the beginning")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and the order of the data")
    parser.add_argument("--accumulate", type=int, default=1, metavar="N", help="shards for each worker")
    parser.add_argument("--save", metavar="FILE", help="write the final weights to FILE, as npz")
    arguments = parser.parse_args()
    if arguments.epochs is None:
        arguments.epochs = {"mlp": 30, "cnn": 12}[arguments.model]
    return arguments


def load_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, test images, training labels, test labels; the same split for everyone."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return train_test_split(images, labels.astype(np.int64), test_size=0.2, random_state=2, stratify=labels)


def build_model(name: str) -> nn.Module:
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def batches(count: int, size: int, epochs: int, seed: int) -> list[np.ndarray]:
    """The images of each step; the same for every worker, since all draw them from the same seed."""
    random = np.random.default_rng(seed)
    orders = [random.permutation(count) for _ in range(epochs)]
    return [order[start : start + size] for order in orders for start in range(0, count - size + 1, size)]


def accuracy(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    with rg.no_grad():
        predicted = model(rg.tensor(images)).argmax(1).numpy()
    return float((predicted == labels).mean())


def main() -> None:
    arguments = parse_arguments()
    dist.init()
    rg.manual_seed(arguments.seed)
    images, test_images, labels, test_labels = load_data()

    model = build_model(arguments.model)
    optimizer = dist.ServerOptimizer(rg.optim.SGD, model.parameters(), lr=arguments.lr, momentum=0.9, weight_decay=1e-3)
    shards = dist.world_size() * arguments.accumulate
    first = dist.rank() * arguments.accumulate

    steps = batches(len(images), arguments.batch_size, arguments.epochs, arguments.seed)
    for step, batch in enumerate(steps, start=1):
        optimizer.zero_grad()
        mine = np.array_split(batch, shards)[first : first + arguments.accumulate]
        loss_sum = 0.0
        for shard in mine:
            x, y = rg.tensor(images[shard]), rg.tensor(labels[shard])
            # Divided by the size of the whole batch, the shards' losses, and so their gradients, add up
            # to the mean over the batch, whatever the number of shards.
            loss = F.cross_entropy(model(x), y, reduction="sum") / len(batch)
            loss.backward()
            loss_sum += loss.item()
        optimizer.param_groups[0]["lr"] = arguments.lr * (1 - (step - 1) / len(steps))
        optimizer.step()
        seen = sum(map(len, mine))
        dist.progress(step, len(steps), loss=loss_sum * len(batch) / seen, samples=seen)

    if dist.rank() == 0:
        print(f"test accuracy {accuracy(model, test_images, test_labels):.2%}")
        if arguments.save:
            np.savez(arguments.save, **{name: value.numpy() for name, value in model.state_dict().items()})


if __name__ == "__main__":
    main()
