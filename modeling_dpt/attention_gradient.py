"""The gradient of attention in bfloat16 on a CPU: all of a head's scores at a time, in float32.

`scaled_dot_product_attention` goes block by block, and rounds what it adds up after every block. Here each gradient is
rounded once, as is what it is a product of: errors are smaller (half, for keys and values), and it takes less time as
long as scores of some heads fit into the processor's cache.

Legend: B batch, L tokens, d width of a head.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

from .cpu import bfloat16_instructions
from .standing_in import learns, only_numbers

# Scores of a head: larger ones leave the cache.
MAX_BYTES = 2 << 20
# Scores of all heads at a time, for each thread.
BYTES_OF_THREAD = 3 << 20


def attend(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Attention of (B, heads, L, d), without mask or dropout, to (B, L, heads, d), differentiable once."""
    return _Attention.apply(query, key, value, scaling).transpose(1, 2)


def gains(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether the gradient is faster this way."""
    if not (only_numbers(query, key, value) and learns(query, key, value)):
        return False
    # Processors that multiply tiles (AMX) are faster block by block.
    supported = query.dtype == torch.bfloat16 and bfloat16_instructions() == "avx512_bf16"
    return supported and 0 < 4 * query.shape[-2] ** 2 <= MAX_BYTES


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, scaling):
        ctx.save_for_backward(query, key, value)
        ctx.scaling = scaling
        return scaled_dot_product_attention(query, key, value, scale=scaling)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        tensors, scaling = (*ctx.saved_tensors, gradient), ctx.scaling
        heads, length, width = gradient.shape[1:]
        # As linear layers have them: (B, L, heads, d) in memory.
        results = [torch.empty_like(gradient.transpose(1, 2), memory_format=torch.contiguous_format) for _ in range(3)]
        group = min(heads, max(1, torch.get_num_threads() * BYTES_OF_THREAD // (4 * length**2)))
        exact = gradient.new_empty(4, heads, length, width, dtype=torch.float32)
        scores = gradient.new_empty(2, group, length, length, dtype=torch.float32)
        rounded = gradient.new_empty(group, length, length)
        with torch.autocast("cpu", enabled=False):
            for image in range(len(gradient)):
                parts = [tensor[image] for tensor in tensors]
                for each, part in zip(exact, parts, strict=True):
                    each.copy_(part)
                for head in range(0, heads, group):
                    some = slice(head, head + group)
                    count = min(group, heads - head)
                    _gradients(
                        [each[some] for each in exact],
                        [part[some] for part in parts],
                        [result[image].transpose(0, 1)[some] for result in results],
                        scaling,
                        scores[:, :count],
                        rounded[:count],
                    )
        return *(result.transpose(1, 2) for result in results), None


def _gradients(exact, parts, results, scaling: float, scores: Tensor, rounded: Tensor) -> None:
    """Of some heads (heads, L, d) of an image, for query, key and value, into results.

    Args:
        exact: query, key, value and the gradient of what was attended, in float32.
        parts: The same as they came.
        scores, rounded: Memory (2, heads, L, L) and (heads, L, L) to work in.
    """
    query, key, value, gradient = exact
    probabilities, of_scores = scores
    torch.baddbmm(probabilities, query, key.mT, beta=0, alpha=scaling, out=probabilities)
    torch.softmax(probabilities, dim=-1, out=probabilities)
    torch.bmm(rounded.copy_(probabilities).mT, parts[3], out=results[2])
    # Scaled already here: what follows is linear.
    torch.baddbmm(of_scores, gradient, value.mT, beta=0, alpha=scaling, out=of_scores)
    torch.ops.aten._softmax_backward_data.out(of_scores, probabilities, -1, torch.float32, grad_input=of_scores)
    torch.bmm(rounded.copy_(of_scores), parts[1], out=results[0])
    torch.bmm(rounded.mT, parts[0], out=results[1])
