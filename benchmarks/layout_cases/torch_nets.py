"""Networks of torch, each kind of layer alone, and a few whole ones."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

import fnnet as fn
from layout_cases import RELU, RNG, UP, Case, Peer, numbers


def channels_first(x):
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def channels_last(y):
    return np.moveaxis(y.detach().numpy(), 1, -1)


def torch_peer(module, before=torch.from_numpy, after=lambda y: y.detach().numpy(), call=None):
    module = module.eval()
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                values = 0.4 * RNG.normal(size=tuple(tensor.shape))
                tensor.copy_(torch.from_numpy(np.abs(values) + 0.5 if name.endswith("var") else values))

    def load(flat):
        module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in flat.items()}, strict=True)

    def outputs(x):
        with torch.no_grad():
            if isinstance(x, tuple):
                return after(call(module, *map(before, x)))
            return after((call or (lambda m, x: m(x)))(module, before(x)))

    flat = {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}
    return Peer(flat, load, outputs)


def spatial(module):
    return torch_peer(module, channels_first, channels_last)


def recurrent(module):
    return torch_peer(module, call=lambda m, x: m(x)[0])


def torch_cnn():
    t = torch.nn
    return t.Sequential(
        t.Conv2d(1, 4, 3, padding=1, bias=False),
        t.BatchNorm2d(4),
        t.ReLU(),
        t.MaxPool2d(2),
        t.Conv2d(4, 6, 3, padding=1),
        t.ReLU(),
        t.MaxPool2d(2),
        t.Flatten(),
        t.Linear(24, 8),
        t.ReLU(),
        t.Linear(8, 3),
    )


def our_cnn():
    pad = [(1, 1), (1, 1)]
    return fn.serial(
        fn.conv(4, 3, padding=pad, bias_init=None),
        fn.batch_norm(),
        RELU,
        fn.max_pool(2),
        fn.conv(6, 3, padding=pad, activation=RELU),
        fn.max_pool(2),
        fn.flatten(),
        fn.dense(8, activation=RELU),
        fn.dense(3),
    )


CNN_NAMES = {"conv_0": "0", "batch_norm_0": "1", "conv_1": "4", "dense_0": "8", "dense_1": "10"}


def torch_mlp():
    t = torch.nn
    return t.Sequential(t.Linear(5, 8), t.ReLU(), t.Linear(8, 8), t.Tanh(), t.Linear(8, 3))


def our_mlp():
    return fn.serial(fn.dense(8, activation=RELU), fn.dense(8, activation=jnp.tanh), fn.dense(3))


class TorchTagger(torch.nn.Module):
    """An embedding, two layers of a bidirectional LSTM, and a dense layer at each step."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(7, 4)
        self.rnn = torch.nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.head = torch.nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.rnn(self.embed(x))[0])


def our_tagger():
    both = [fn.bidirectional(fn.lstm(3)) for _ in range(2)]
    return fn.serial(fn.embedding(7, 4), *both, fn.dense(2))


TAGGER_NAMES = {
    "embedding_0": "embed",
    "bidirectional_0/forward": "rnn.l0",
    "bidirectional_0/backward": "rnn.l0_reverse",
    "bidirectional_1/forward": "rnn.l1",
    "bidirectional_1/backward": "rnn.l1_reverse",
    "dense_0": "head",
}


class TorchBlock(torch.nn.Module):
    """A transformer's block, norms first."""

    def __init__(self):
        super().__init__()
        t = torch.nn
        self.norm1, self.norm2 = t.LayerNorm(8), t.LayerNorm(8)
        self.attn = t.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = t.Sequential(t.Linear(8, 12), t.GELU(), t.Linear(12, 8))

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.attn(h, h, h)[0]
        return x + self.mlp(self.norm2(x))


def our_block():
    gelu = jax.nn.gelu
    mlp = fn.serial(fn.dense(12), lambda x: gelu(x, approximate=False), fn.dense(8))
    return fn.serial(
        attention=fn.residual(fn.serial(norm=fn.layer_norm(eps=1e-5), attend=fn.attention(2))),
        mlp=fn.residual(fn.serial(norm=fn.layer_norm(eps=1e-5), mlp=mlp)),
    )


def block_names(at=""):
    return {
        "attention/body/norm": f"{at}norm1",
        "attention/body/attend": f"{at}attn",
        "mlp/body/norm": f"{at}norm2",
        "mlp/body/mlp/dense_0": f"{at}mlp.0",
        "mlp/body/mlp/dense_1": f"{at}mlp.2",
    }


def torch_cases():
    t, one, two = torch.nn, {"": ""}, [(1, 1), (1, 1)]
    seq = numbers(3, 5, 4)
    cross = (numbers(2, 5, 8), numbers(2, 6, 4))
    stacks = {path: [name.replace("@", str(n)) for n in range(3)] for path, name in block_names("@.").items()}
    return {
        "dense": Case(fn.dense(3), torch_peer(t.Linear(4, 3)), numbers(2, 4), one),
        "dense without bias": Case(
            fn.dense(3, bias_init=None), torch_peer(t.Linear(4, 3, bias=False)), numbers(2, 4), one
        ),
        "mlp": Case(
            our_mlp(), torch_peer(torch_mlp()), numbers(4, 5), {"dense_0": "0", "dense_1": "2", "dense_2": "4"}
        ),
        "conv 1d": Case(fn.conv(3, (3,), padding="VALID"), spatial(t.Conv1d(2, 3, 3)), numbers(2, 9, 2), one),
        "conv 2d, stride, dilation": Case(
            fn.conv(3, (3, 2), stride=2, dilation=(1, 2), padding=two),
            spatial(t.Conv2d(2, 3, (3, 2), stride=2, dilation=(1, 2), padding=1)),
            numbers(2, 9, 8, 2),
            one,
        ),
        "conv 3d": Case(
            fn.conv(3, (2, 3, 2), padding="VALID"), spatial(t.Conv3d(2, 3, (2, 3, 2))), numbers(2, 4, 5, 3, 2), one
        ),
        "conv, groups": Case(
            fn.conv(6, 3, groups=2, padding=two),
            spatial(t.Conv2d(4, 6, 3, groups=2, padding=1)),
            numbers(2, 6, 5, 4),
            one,
        ),
        "conv, depthwise": Case(
            fn.conv(8, 3, groups=4, padding=two),
            spatial(t.Conv2d(4, 8, 3, groups=4, padding=1)),
            numbers(2, 6, 5, 4),
            one,
        ),
        "conv_transpose 1d": Case(
            fn.conv_transpose(3, (4,), stride=2, padding="VALID"),
            spatial(t.ConvTranspose1d(2, 3, 4, stride=2)),
            numbers(2, 5, 2),
            one,
            options=UP,
        ),
        "conv_transpose 2d, crop": Case(
            fn.conv_transpose(3, (4, 3), stride=2, padding=two),
            spatial(t.ConvTranspose2d(2, 3, (4, 3), stride=2, padding=1)),
            numbers(2, 5, 4, 2),
            one,
            options=UP,
        ),
        "conv_transpose 2d, groups": Case(
            fn.conv_transpose(6, 3, groups=2, stride=2, dilation=2, padding="VALID"),
            spatial(t.ConvTranspose2d(4, 6, 3, groups=2, stride=2, dilation=2)),
            numbers(2, 5, 4, 4),
            one,
            options=UP | {"groups": 2},
        ),
        "conv_transpose 3d": Case(
            fn.conv_transpose(3, 2, dims=3, stride=2, padding="VALID"),
            spatial(t.ConvTranspose3d(2, 3, 2, stride=2)),
            numbers(2, 3, 2, 4, 2),
            one,
            options=UP,
        ),
        "batch_norm": Case(fn.batch_norm(), torch_peer(t.BatchNorm1d(4)), numbers(6, 4), one),
        "batch_norm, images": Case(fn.batch_norm(), spatial(t.BatchNorm2d(4)), numbers(2, 3, 5, 4), one),
        "batch_norm, not affine": Case(
            fn.batch_norm(scale_init=None, bias_init=None),
            spatial(t.BatchNorm2d(4, affine=False)),
            numbers(2, 3, 5, 4),
            one,
        ),
        "layer_norm": Case(fn.layer_norm(eps=1e-5), torch_peer(t.LayerNorm(4)), numbers(3, 4), one),
        "group_norm": Case(fn.group_norm(2, eps=1e-5), spatial(t.GroupNorm(2, 4)), numbers(2, 3, 5, 4), one),
        "instance_norm": Case(
            fn.layers.instance_norm(eps=1e-5), spatial(t.InstanceNorm2d(4, affine=True)), numbers(2, 3, 5, 4), one
        ),
        "rms_norm": Case(fn.rms_norm(eps=1e-6), torch_peer(t.RMSNorm(4, eps=1e-6)), numbers(3, 4), one),
        "prelu": Case(fn.layers.prelu(shared=True), torch_peer(t.PReLU()), numbers(3, 4), one),
        "prelu, each feature": Case(fn.layers.prelu(), torch_peer(t.PReLU(4)), numbers(3, 4), one),
        "embedding": Case(
            fn.embedding(7, 4), torch_peer(t.Embedding(7, 4)), np.arange(6, dtype=np.int32).reshape(2, 3), one
        ),
        "rnn": Case(fn.rnn(3), recurrent(t.RNN(4, 3, batch_first=True)), seq, {"": "l0"}),
        "lstm": Case(fn.lstm(3), recurrent(t.LSTM(4, 3, batch_first=True)), seq, {"": "l0"}),
        "lstm without bias": Case(
            fn.lstm(3, bias_init=None), recurrent(t.LSTM(4, 3, bias=False, batch_first=True)), seq, {"": "l0"}
        ),
        "gru": Case(fn.gru(3), recurrent(t.GRU(4, 3, batch_first=True)), seq, {"": "l0"}),
        "lstm, two layers": Case(
            fn.serial(fn.lstm(4), fn.lstm(4)),
            recurrent(t.LSTM(4, 4, num_layers=2, batch_first=True)),
            seq,
            {"lstm_0": "l0", "lstm_1": "l1"},
        ),
        "gru, both directions": Case(
            fn.bidirectional(fn.gru(3)),
            recurrent(t.GRU(4, 3, bidirectional=True, batch_first=True)),
            seq,
            {"forward": "l0", "backward": "l0_reverse"},
        ),
        "attention": Case(
            fn.attention(2),
            torch_peer(t.MultiheadAttention(8, 2, batch_first=True), call=lambda m, x: m(x, x, x)[0]),
            numbers(2, 5, 8),
            one,
        ),
        "attention, cross": Case(
            fn.attention(2, head_features=4),
            torch_peer(
                t.MultiheadAttention(8, 2, kdim=4, vdim=4, batch_first=True), call=lambda m, q, c: m(q, c, c)[0]
            ),
            cross,
            one,
        ),
        "transformer block": Case(our_block(), torch_peer(TorchBlock()), numbers(2, 5, 8), block_names(), found=False),
        "three blocks, repeated": Case(
            fn.repeat(our_block(), 3),
            torch_peer(t.Sequential(*(TorchBlock() for _ in range(3)))),
            numbers(2, 5, 8),
            stacks,
            found=False,
        ),
        "cnn": Case(
            our_cnn(),
            torch_peer(torch_cnn(), channels_first),
            numbers(4, 8, 8, 1),
            CNN_NAMES,
            options={"flattened": {"dense_0": (6, 2, 2)}},
        ),
        "tagger": Case(
            our_tagger(), torch_peer(TorchTagger()), RNG.integers(0, 7, (3, 5)).astype(np.int32), TAGGER_NAMES
        ),
    }
