"""What several architectures share: inputs, the usual block of a convolution, and statistics for batch norms."""
import torch
from torch import nn

BATCH_NORM = nn.modules.batchnorm._BatchNorm


def image(size=224, batch=1, channels=3):
    return torch.randn(batch, channels, size, size)


def tokens(batch, length):
    return torch.randint(5, 1000, (batch, length))


def conv_norm(channels, filters, kernel=3, stride=1, act=nn.ReLU):
    conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), act())


def settle(module, *inputs):
    """Batch norms take the statistics of a run, without which random weights let values grow or vanish with depth."""
    norms = [m for m in module.modules() if isinstance(m, BATCH_NORM)]
    for norm in norms:
        norm.momentum = 1.0
    if norms:
        module.train()
        doubled = [torch.cat([x, x]) + 0.1 * torch.randn(2 * x.shape[0], *x.shape[1:]) for x in inputs]
        with torch.no_grad():
            module(*doubled)
    return module.eval()
