import torch
from torch.testing import assert_close

from fedcmr.models.blocks import Attention, Block


def test_attention_is_softmax_of_query_key_products_over_the_root_of_the_head_width() -> None:
    attention = Attention(8, 2)
    tokens = torch.randn(1, 3, 8)
    queries, both = attention.q(tokens)[0], attention.kv(tokens)[0]
    keys, values = both[:, :8], both[:, 8:]
    heads = [
        torch.softmax(queries[:, s] @ keys[:, s].T / 2.0, dim=-1) @ values[:, s] for s in (slice(0, 4), slice(4, 8))
    ]
    assert_close(attention(tokens)[0], attention.proj(torch.cat(heads, dim=-1)))


def test_a_block_without_outputs_leaves_tokens_as_they_are() -> None:
    block = Block(8, 2, 4)
    with torch.no_grad():
        for layer in (block.attn.proj, block.mlp.fc2):
            layer.weight.zero_()
            layer.bias.zero_()
    tokens = torch.randn(2, 5, 8)
    assert torch.equal(block(tokens), tokens)


def test_training_mode_changes_nothing() -> None:
    block, tokens = Block(8, 2, 4), torch.randn(2, 5, 8)
    assert torch.equal(block.train()(tokens), block.eval()(tokens))
