"""Readout: what happens to the class token before tokens become a map (Ranftl et al., arXiv:2103.13413, section 3.2).

Every readout maps (tokens (B, N, D), prefix (B, P, D)) to (B, N, D).
Legend: B batch, P prefix tokens (class token first, then a distillation token), N = h*w patch tokens, D width.
"""

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.activations import ACT2FN


def ignore(tokens: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
    """Drop the prefix."""
    return tokens


def add(tokens: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
    """Add the mean of the prefix to every token."""
    return tokens + prefix.mean(dim=1, keepdim=True)


class ProjectReadout(nn.Sequential):
    """Concatenate the class token to every token, then a linear layer and an activation."""

    def __init__(self, hidden_size: int, activation: str):
        super().__init__(nn.Linear(2 * hidden_size, hidden_size), ACT2FN[activation])
        self[0].init_std = (2 * hidden_size) ** -0.5

    def forward(self, tokens: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
        projection, activation = self
        # The class token is the same beside every token: its half of the product is computed once and broadcast.
        of_tokens, of_readout = projection.weight.chunk(2, dim=1)
        readout = linear(prefix[:, :1], of_readout, projection.bias)  # (B, 1, D)
        return activation(linear(tokens, of_tokens) + readout)
