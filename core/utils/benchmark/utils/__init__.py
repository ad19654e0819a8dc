"""The modules of `retrograd.utils.benchmark`, where PyTorch has them."""
