#!/usr/bin/env python3
"""Writes a small LLaVA as Hugging Face's libraries read it: make_tiny_hf.py's Llama with an image encoder.

An image is 16 tokens (and the text around it the same tokens as there). It writes what that one writes.
Needs the packages tokenizers, safetensors and numpy (vLLM's environment has them). No hub.
"""

import json
import pathlib
import sys
from typing import Any

import numpy as np  # type: ignore[import-not-found] # in an environment of its own
from make_tiny_hf import (
    TEMPLATE,
    TINY,
    VOCABULARY,
    text_config,
    tokenizer,
    weights,
)
from safetensors.numpy import save_file  # type: ignore[import-not-found] # the same

DIM, FF, LAYERS, IMAGE, PATCH = 32, 64, 2, 56, 14
PATCHES = (IMAGE // PATCH) ** 2
TOKEN = "<image>"
CONTENT = (
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}" + TOKEN + "{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}"
)


def encoder() -> dict[str, np.ndarray]:
    """Make every tensor of the image encoder and of what joins it to the Llama."""
    rng = np.random.default_rng(0)
    w = {}

    def linear(name: str, rows: int, cols: int) -> None:
        w[f"{name}.weight"] = rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(0.1)
        w[f"{name}.bias"] = np.zeros(rows, np.float32)

    def norm(name: str) -> None:
        w[f"{name}.weight"], w[f"{name}.bias"] = np.ones(DIM, np.float32), np.zeros(DIM, np.float32)

    tower = "vision_tower.vision_model"
    w[f"{tower}.embeddings.class_embedding"] = np.zeros(DIM, np.float32)
    patches = rng.standard_normal((DIM, 3, PATCH, PATCH), dtype=np.float32)
    w[f"{tower}.embeddings.patch_embedding.weight"] = patches * np.float32(0.1)
    w[f"{tower}.embeddings.position_embedding.weight"] = np.zeros((PATCHES + 1, DIM), np.float32)
    norm(f"{tower}.pre_layrnorm")
    norm(f"{tower}.post_layernorm")
    for i in range(LAYERS):
        layer = f"{tower}.encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear(f"{layer}.self_attn.{name}", DIM, DIM)
        linear(f"{layer}.mlp.fc1", FF, DIM)
        linear(f"{layer}.mlp.fc2", DIM, FF)
        norm(f"{layer}.layer_norm1")
        norm(f"{layer}.layer_norm2")
    linear("multi_modal_projector.linear_1", TINY.dim, DIM)
    linear("multi_modal_projector.linear_2", TINY.dim, TINY.dim)
    return w


def configs(image_token: int) -> dict[str, dict[str, Any]]:
    """Give the JSON files."""
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": DIM,
        "intermediate_size": FF,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "image_size": IMAGE,
        "patch_size": PATCH,
        "projection_dim": DIM,
    }
    image_processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": IMAGE},
        "crop_size": {"height": IMAGE, "width": IMAGE},
    }
    join = {"patch_size": PATCH, "vision_feature_select_strategy": "default"}
    return {
        "config": {
            "architectures": ["LlavaForConditionalGeneration"],
            "model_type": "llava",
            "text_config": text_config(TINY),
            "vision_config": vision,
            "image_token_index": image_token,
            "image_seq_length": PATCHES,
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
            "tie_word_embeddings": False,
            "dtype": "float32",
        },
        "processor_config": {
            "processor_class": "LlavaProcessor",
            "image_processor": image_processor,
            "image_token": TOKEN,
            "num_additional_image_tokens": 1,
            **join,
        },
        "tokenizer_config": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "processor_class": "LlavaProcessor",
            "model_max_length": TINY.context,
            "chat_template": TEMPLATE.replace("{{ m['content'] }}", CONTENT),
            "bos_token": "<|bos|>",
            "eos_token": "<|eos|>",
            "pad_token": "<|pad|>",
            "extra_special_tokens": [TOKEN],
        },
    }


def main() -> None:
    """Write the folder that the command line names."""
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    t = tokenizer()
    t.add_special_tokens([TOKEN])
    image_token = t.token_to_id(TOKEN)
    text = weights(TINY, [t.id_to_token(i) or "" for i in range(VOCABULARY)])
    text["lm_head.weight"][image_token, 0] = -8  # as the other special tokens: never written
    tensors = {f"language_model.{name}": tensor for name, tensor in text.items()} | encoder()
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    t.save(str(out / "tokenizer.json"))
    for name, content in configs(image_token).items():
        (out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
