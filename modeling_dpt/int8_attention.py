"""Self-attention of a quantised model: one product of integers makes queries, keys and values.

Legend: B batch, L tokens, D width, d width of a head.
"""

import torch
from torch import nn

from .backbones.vit import ViTSelfAttention, eager_attention
from .int8_layers import Int8Linear

# Bytes of scores at a time: they stay in the cache between the two products of attention.
SCORES = 3 << 20


class Int8SelfAttention(nn.Module):
    """Stands in for a `ViTSelfAttention` for inference."""

    def __init__(self, attention: ViTSelfAttention):
        super().__init__()
        self.head_dim, self.scaling = attention.head_dim, attention.scaling
        self.query_key_value = Int8Linear.of(attention.query, attention.key, attention.value)

    def forward(self, tokens: torch.Tensor, output_attentions: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, L, D) -> (B, L, D) and attention (B, heads, L, L) or None."""
        joined = self.query_key_value(tokens).unflatten(-1, (3, -1, self.head_dim))  # (B, L, 3, heads, d)
        query, key, value = joined.permute(2, 0, 3, 1, 4)  # (B, heads, L, d)
        if output_attentions:
            context, attention = eager_attention(self, query, key, value, scaling=self.scaling)
            return context.flatten(2), attention
        return attend(query, key, value, self.scaling).flatten(2), None


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
    """Attention (B, heads, L, d) -> (B, L, heads, d), some heads or queries at a time.

    Scores are rounded to the dtype of the input, which integers justify, and which takes two thirds of the time that
    `scaled_dot_product_attention` takes on a CPU.
    """
    batch, heads, length, width = query.shape
    query = query * scaling
    context = query.new_empty(batch, length, heads, width)
    rows = max(1, min(length, SCORES // (length * query.element_size())))
    group = max(1, min(heads, SCORES // (length * rows * query.element_size())))
    for image in range(batch):
        for head in range(0, heads, group):
            keys = key[image, head : head + group].transpose(-1, -2)
            values = value[image, head : head + group]
            scores = query.new_empty(len(values), min(rows, length), length)
            for row in range(0, length, rows):
                part = query[image, head : head + group, row : row + rows]
                scores = scores[:, : part.shape[1]]
                torch.softmax(torch.bmm(part, keys, out=scores), dim=-1, out=scores)
                context[image, row : row + rows, head : head + group] = (scores @ values).transpose(0, 1)
    return context
