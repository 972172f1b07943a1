"""Vision transformers under the names of DINOv2 and of OpenAI's CLIP, restated in PyTorch.

Written from the papers and from the names of the published weights: an oracle for tests.
"""

from collections import OrderedDict

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


class Gamma(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens):
        return tokens * self.gamma


class Neurons(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens):
        return self.fc2(self.act(self.fc1(tokens)))


class Heads(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.number = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens):
        batch, number, width = tokens.shape
        parts = self.qkv(tokens).split(width, dim=2)
        queries, keys, values = (
            part.view(batch, number, self.number, -1).transpose(1, 2) for part in parts
        )
        scores = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5
        found = scores.softmax(3) @ values
        return self.proj(found.transpose(1, 2).reshape(batch, number, width))


class ScaledBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Heads(width, heads)
        self.ls1 = Gamma(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Neurons(width)
        self.ls2 = Gamma(width)

    def forward(self, tokens):
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class DINOv2(nn.Module):
    """Registers come after the class token, and have no position."""

    def __init__(self, side, patch, width, depth, heads, registers):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (side // patch) ** 2, width))
        if registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, width, patch, patch)))
        self.blocks = nn.ModuleList(ScaledBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images):
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        first = self.cls_token.expand(len(images), -1, -1)
        tokens = torch.cat([first, patches], 1) + self.pos_embed
        if hasattr(self, "register_tokens"):
            registers = self.register_tokens.expand(len(images), -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], 1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]


class QuickGELU(nn.Module):
    def forward(self, inputs):
        return inputs * torch.sigmoid(1.702 * inputs)


class CLIPNeurons(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.gelu = QuickGELU()
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, tokens):
        return self.c_proj(self.gelu(self.c_fc(tokens)))


class CLIPBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = CLIPNeurons(width)

    def forward(self, tokens):  # [T, B, U]
        normed = self.ln_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.ln_2(tokens))


class Blocks(nn.Module):
    def __init__(self, width, heads, depth):
        super().__init__()
        self.resblocks = nn.Sequential(*(CLIPBlock(width, heads) for _ in range(depth)))


class Visual(nn.Module):
    def __init__(self, side, patch, width, depth, heads, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(1 + (side // patch) ** 2, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Blocks(width, heads, depth)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, outputs))

    def forward(self, images):
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(images), 1, -1)
        tokens = self.ln_pre(torch.cat([first, patches], 1) + self.positional_embedding)
        tokens = self.transformer.resblocks(tokens.transpose(0, 1)).transpose(0, 1)
        return self.ln_post(tokens[:, 0]) @ self.proj


class CLIP(nn.Module):
    """The visual transformer beside one that reads texts, which is not called."""

    def __init__(self, *sizes):
        super().__init__()
        self.visual = Visual(*sizes)
        self.transformer = Blocks(16, 2, 1)
        self.token_embedding = nn.Embedding(7, 16)
        self.positional_embedding = nn.Parameter(torch.zeros(5, 16))
        self.ln_final = nn.LayerNorm(16)
        self.text_projection = nn.Parameter(torch.zeros(16, sizes[-1]))
        self.logit_scale = nn.Parameter(torch.ones([]))

    def forward(self, images):
        return self.visual(images)
