#!/usr/bin/env python3
"""Writes a small image encoder of LLaVA's kind with random weights, for a text model 64 wide. No hub.

It goes beside a model of make_tiny_gguf.py: `llama-server --mmproj`, a second FROM of an Ollama Modelfile.
Needs the PyPI package gguf (which brings numpy). Same arguments, same file.
"""

import sys
from typing import Final

import gguf  # type: ignore[import-not-found] # in an environment of its own
import numpy as np  # type: ignore[import-not-found] # the same

DIM, FF, HEADS, LAYERS = 32, 64, 2, 2
IMAGE, PATCH = 56, 14
TEXT: Final = 64


def weights() -> dict[str, np.ndarray]:
    """Make every tensor."""
    rng = np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1)

    w = {
        "v.patch_embd.weight": random(DIM, 3, PATCH, PATCH),
        "v.position_embd.weight": random((IMAGE // PATCH) ** 2, DIM),
        "mm.0.weight": random(TEXT, DIM),
        "mm.0.bias": random(TEXT),
        "mm.2.weight": random(TEXT, TEXT),
        "mm.2.bias": random(TEXT),
    }
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            w[f"v.blk.{i}.{name}.weight"] = random(DIM, DIM)
        w[f"v.blk.{i}.ffn_up.weight"] = random(FF, DIM)
        w[f"v.blk.{i}.ffn_down.weight"] = random(DIM, FF)
        for norm in ("ln1", "ln2"):
            w[f"v.blk.{i}.{norm}.weight"] = np.ones(DIM, np.float32)
            w[f"v.blk.{i}.{norm}.bias"] = np.zeros(DIM, np.float32)
    return w


def main() -> None:
    """Write the file that the command line names."""
    w = gguf.GGUFWriter(sys.argv[1], "clip")
    w.add_type(gguf.GGUFType.MMPROJ)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    w.add_clip_has_vision_encoder(True)
    w.add_clip_projector_type("mlp")
    w.add_vision_projection_dim(TEXT)
    w.add_vision_image_size(IMAGE)
    w.add_vision_patch_size(PATCH)
    w.add_vision_embedding_length(DIM)
    w.add_vision_feed_forward_length(FF)
    w.add_vision_block_count(LAYERS)
    w.add_vision_head_count(HEADS)
    w.add_vision_attention_layernorm_eps(1e-5)
    w.add_vision_image_mean([0.5, 0.5, 0.5])
    w.add_vision_image_std([0.5, 0.5, 0.5])
    w.add_vision_use_gelu(True)
    for name, tensor in weights().items():
        w.add_tensor(name, tensor)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
