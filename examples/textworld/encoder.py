"""Makes the encoder of the text world: a BERT of random weights, with the text world's tokenizer.

    python examples/textworld/encoder.py examples/textworld/base/encoder
"""

import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertConfig, BertModel

folder = Path(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(Path(__file__).parent / "tokenizer")
tokenizer.chat_template = None
tokenizer.save_pretrained(folder)
torch.manual_seed(0)
shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
config = BertConfig(
    **shape, vocab_size=len(tokenizer), max_position_embeddings=64, initializer_range=0.05, pad_token_id=tokenizer.pad_token_id
)
BertModel(config, add_pooling_layer=False).save_pretrained(folder)
