"""The native Vision Transformer, for any image whose sides are multiples of the patch (arXiv:2103.13413, section 3.1).

Parameter names are those of transformers' DPT. Legend: B batch, H W pixels, h w token grid, P prefix tokens,
L = P + h*w tokens, D width.
"""

import torch
from torch import nn
from torch.nn.functional import dropout, interpolate, pad, softmax
from transformers.activations import ACT2FN, GELUActivation
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .. import attention_gradient
from ..packed_linear import PackedLinear


class TokenEmbeddings(nn.Module):
    """Prefix tokens and position embeddings, shared by ViT and hybrid; subclasses make the patch tokens."""

    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.grid_size = config.grid_size
        self.num_prefix_tokens = config.num_prefix_tokens
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        if config.num_prefix_tokens == 2:
            self.distillation_token = nn.Parameter(torch.zeros(1, 1, width))
        tokens = config.num_prefix_tokens + self.grid_size[0] * self.grid_size[1]
        self.position_embeddings = nn.Parameter(torch.zeros(1, tokens, width))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def add_prefix_and_positions(self, patches: torch.Tensor) -> torch.Tensor:
        """Map of patch tokens (B, D, h, w) -> tokens (B, L, D)."""
        prefix = self.cls_token
        if self.num_prefix_tokens == 2:
            prefix = torch.cat([prefix, self.distillation_token], dim=1)
        grid = tuple(patches.shape[-2:])
        tokens = patches.flatten(2).transpose(1, 2)  # (B, h*w, D)
        tokens = torch.cat([prefix.expand(tokens.shape[0], -1, -1).to(tokens.dtype), tokens], dim=1)
        return self.dropout(tokens + self.resized_positions(grid).to(tokens.dtype))

    def sine_positions(self) -> torch.Tensor:
        """Sines and cosines of row and column at geometric wavelengths: start values (1, L, D) before training.

        Prefix tokens have no place and start at 0.
        """
        width = self.position_embeddings.shape[-1]
        rates = 100.0 ** -torch.linspace(0, 1, -(-width // 4))
        angles = [torch.arange(side)[:, None] * rates for side in self.grid_size]  # (h, D / 4), (w, D / 4)
        rows, columns = (torch.cat([angle.sin(), angle.cos()], dim=-1) for angle in angles)
        height, length = self.grid_size
        grid = [rows[:, None].expand(-1, length, -1), columns[None].expand(height, -1, -1)]
        positions = torch.cat(grid, dim=-1).flatten(0, 1)[None, :, :width]
        return pad(positions, (0, 0, self.num_prefix_tokens, 0))

    def resized_positions(self, grid: tuple[int, int]) -> torch.Tensor:
        """Position embeddings (1, L, D) for a grid (h, w): bilinear, only where the grid is not the stored one."""
        # An exported graph serves every grid; resizing to the stored one changes nothing.
        if not torch.compiler.is_exporting() and grid == self.grid_size:
            return self.position_embeddings
        prefix, stored = self.position_embeddings.tensor_split((self.num_prefix_tokens,), dim=1)
        stored = stored.unflatten(1, self.grid_size).permute(0, 3, 1, 2)  # (1, D, h, w)
        resized = interpolate(stored.float(), size=grid, mode="bilinear", align_corners=False).to(stored.dtype)
        return torch.cat([prefix, resized.flatten(2).transpose(1, 2)], dim=1)


class PatchEmbeddings(nn.Module):
    """(B, 3, H, W) -> (B, D, h, w): one convolution whose kernel is its stride."""

    def __init__(self, config):
        super().__init__()
        patch = config.patch_size
        self.projection = nn.Conv2d(config.num_channels, config.hidden_size, kernel_size=patch, stride=patch)
        self.projection.init_std = config.initializer_range

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.projection(pixel_values)


class ViTEmbeddings(TokenEmbeddings):
    """Tokens of a pure ViT."""

    def __init__(self, config):
        super().__init__(config)
        self.patch_embeddings = PatchEmbeddings(config)

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """(B, 3, H, W) -> tokens (B, L, D) and no maps."""
        return self.add_prefix_and_positions(self.patch_embeddings(pixel_values)), ()


class ViTEncoder(nn.Module):
    """The blocks."""

    def __init__(self, config):
        super().__init__()
        self.layer = nn.ModuleList(ViTLayer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self, tokens: torch.Tensor, num_blocks: int, output_attentions: bool = False
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Run the first `num_blocks` blocks; returns the output of each and, where asked for, its attention."""
        outputs, attentions = [], []
        for layer in self.layer[:num_blocks]:
            tokens, attention = layer(tokens, output_attentions)
            outputs.append(tokens)
            attentions.append(attention)
        return outputs, attentions


class ViTLayer(GradientCheckpointingLayer):
    """Pre-norm transformer block."""

    def __init__(self, config):
        super().__init__()
        self.attention = ViTAttention(config)
        self.intermediate = ViTIntermediate(config)
        self.output = ViTProjection(config.intermediate_size, config)
        self.layernorm_before = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self, tokens: torch.Tensor, output_attentions: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, L, D) -> (B, L, D) and attention (B, heads, L, L) or None."""
        attended, attention = self.attention(self.layernorm_before(tokens), output_attentions)
        tokens = tokens + attended
        return tokens + self.output(self.intermediate(self.layernorm_after(tokens))), attention


class ViTAttention(nn.Module):
    """Self-attention and its output projection."""

    def __init__(self, config):
        super().__init__()
        self.attention = ViTSelfAttention(config)
        self.output = ViTProjection(config.hidden_size, config)

    def forward(self, tokens: torch.Tensor, output_attentions: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        context, attention = self.attention(tokens, output_attentions)
        return self.output(context), attention


class ViTSelfAttention(nn.Module):
    """Multi-head self-attention through transformers' attention interface (eager, sdpa, flash, flex)."""

    is_causal = False  # read by the attention functions

    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.config = config
        self.head_dim = width // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.dropout = config.attention_probs_dropout_prob
        self.query = nn.Linear(width, width, bias=config.qkv_bias)
        self.key = nn.Linear(width, width, bias=config.qkv_bias)
        self.value = nn.Linear(width, width, bias=config.qkv_bias)

    def forward(self, tokens: torch.Tensor, output_attentions: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        query, key, value = (
            projection(tokens).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, heads, L, D / heads)
            for projection in (self.query, self.key, self.value)
        )
        # Only the eager form can return probabilities, so a call that asks for them uses it, whatever is configured.
        implementation = "eager" if output_attentions else self.config._attn_implementation
        dropout = self.dropout if self.training else 0.0
        if implementation == "sdpa" and not dropout and attention_gradient.gains(query, key, value):
            return attention_gradient.attend(query, key, value, self.scaling).flatten(2), None
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention)
        context, attention = attend(
            self,
            query,
            key,
            value,
            attention_mask=None,
            scaling=self.scaling,
            dropout=dropout,
            is_causal=False,
        )
        return context.flatten(2), attention if output_attentions else None  # (B, L, D)


class ViTIntermediate(nn.Module):
    """First half of the MLP."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        watched = self.dense._forward_hooks  # who watches a layer expects its own output
        if isinstance(self.dense, PackedLinear) and isinstance(self.activation, GELUActivation) and not watched:
            return self.dense(tokens, gelu=True)
        return self.activation(self.dense(tokens))


class ViTProjection(nn.Module):
    """Linear layer back to the width, with dropout."""

    def __init__(self, in_features: int, config):
        super().__init__()
        self.dense = nn.Linear(in_features, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.dense(tokens))


def eager_attention(module, query, key, value, attention_mask=None, scaling=1.0, dropout=0.0, **_):
    """Attention as transformers calls it: (B, heads, L, d) -> context (B, L, heads, d), probabilities."""
    probabilities = softmax(query @ key.transpose(-1, -2) * scaling, dim=-1)
    context = _dropped(probabilities, dropout, module.training) @ value
    return context.transpose(1, 2), probabilities


def _dropped(probabilities: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    return dropout(probabilities, p=p, training=training) if p else probabilities
